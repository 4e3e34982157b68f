"""From pixels to directions in the camera's optical frame (REP-103: x right, y down, z forward)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from perceptiondlm_ros.errors import InputError

Points = NDArray[np.float64]
"""float64 [N, 2] or [N, 3]."""

_COEFFICIENTS: Final = {
    "plumb_bob": (4, 5, 8, 12, 14),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
    "fisheye": (4,),
}
_SAME_SHAPE: Final = 0.02  # by which the ratio of the sides may differ in a scaled image


@dataclass(frozen=True)
class Camera:
    """A calibrated camera, for images of one size.

    projection: [3, 4], of the full, unbinned sensor; for an image that isn't rectified [K | 0].
    distortion: coefficients of `model`; none for a rectified image.
    scale, offset: pixels of the image to pixels of the full sensor, x and y.
    """

    projection: NDArray[np.float64]
    model: str
    distortion: NDArray[np.float64]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def points(self, pixels: Points, depths: NDArray[np.float64]) -> Points:
        """Where `pixels` [N, 2] are in the optical frame at `depths` [N] along its z axis: [N, 3].

        Everything in metres. Absurd calibrations lead to numbers that are not finite.
        """
        full = pixels * self.scale + self.offset
        focal = self.projection[[0, 1], [0, 1]]
        with np.errstate(over="ignore", invalid="ignore"):
            if self.distortion.any():
                rays = self._undistort(full)
            else:
                rays = (full - self.projection[:2, 2]) / focal
            # A second camera's projection starts from the first one's frame, which is beside it.
            beside = self.projection[:2, 3] / focal
            return np.concatenate([rays * depths[:, None] - beside, depths[:, None]], axis=1)

    def _undistort(self, pixels: Points) -> Points:
        """x and y at depth 1: [N, 2]."""
        points, matrix = pixels[:, None, :], self.projection[:, :3]
        if self.model in ("equidistant", "fisheye"):
            rays = cv2.fisheye.undistortPoints(points, matrix, self.distortion)
        else:
            rays = cv2.undistortPoints(points, matrix, self.distortion)
        found: Points = np.asarray(rays, np.float64)[:, 0, :]
        return found


def camera_of(info: CameraInfo, width: int, height: int, rectified: bool) -> Camera:
    """The camera for images of width x height pixels.

    rectified: whether lens distortion is taken out of the image, so that P holds; else K and D do.
    Raises InputError for a camera that is not calibrated, or other than the one of the image.
    """
    projection = _projection(info, rectified)
    scale, offset = _window(info, width, height)
    if rectified:
        return Camera(projection, "", np.zeros(0), scale, offset)
    distortion = np.array(info.d, dtype=np.float64)
    if not np.isfinite(distortion).all():
        raise InputError("camera_info: D is not finite, expected numbers; calibrate the camera")
    if distortion.any() and len(distortion) not in _COEFFICIENTS.get(info.distortion_model, ()):
        raise InputError(
            f"camera_info: got {len(distortion)} coefficients of the distortion model "
            f"{info.distortion_model!r}, expected one of {', '.join(_COEFFICIENTS)}; "
            "rectify the image and set markers.rectified"
        )
    return Camera(projection, info.distortion_model, distortion, scale, offset)


def _projection(info: CameraInfo, rectified: bool) -> NDArray[np.float64]:
    """[3, 4]: P, or K beside zeros."""
    if rectified:
        projection = np.array(info.p, dtype=np.float64).reshape(3, 4)
    else:
        matrix = np.array(info.k, dtype=np.float64).reshape(3, 3)
        projection = np.concatenate([matrix, np.zeros((3, 1))], axis=1)
    focal = projection[[0, 1], [0, 1]]
    if not np.isfinite(projection).all() or (focal <= 0).any():
        name = "P" if rectified else "K"
        raise InputError(
            f"camera_info: the focal lengths in {name} are {focal[0]:g} and {focal[1]:g}, expected "
            "positive ones; calibrate the camera"
        )
    return projection


def _window(
    info: CameraInfo, width: int, height: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset from pixels of the image to those of the sensor that K and P speak of.

    The image may be a part of the sensor, binned, or made smaller by somebody on the way.
    """
    roi = info.roi
    columns, rows = int(roi.width or info.width), int(roi.height or info.height)
    if not columns or not rows:  # a driver that doesn't tell: the image is all there is
        columns, rows = width * max(info.binning_x, 1), height * max(info.binning_y, 1)
    scale = (columns / width, rows / height)
    if abs(scale[0] / scale[1] - 1) > _SAME_SHAPE:
        raise InputError(
            f"camera_info: is for {columns}x{rows} pixels, expected the shape of the "
            f"{width}x{height} image; take both from the same camera"
        )
    # Pixel centres are whole numbers: the first of two binned pixels is half a pixel beside.
    offset = (roi.x_offset + (scale[0] - 1) / 2, roi.y_offset + (scale[1] - 1) / 2)
    return scale, offset
