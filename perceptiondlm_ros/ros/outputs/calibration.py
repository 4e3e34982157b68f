"""From pixels to directions in the camera's optical frame (REP-103: x right, y down, z forward)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.ros.outputs.lens import PINHOLE, Lens, Points, lens_of

_SAME_SHAPE: Final = 0.02  # by which the ratio of the sides may differ in a scaled image


@dataclass(frozen=True)
class CalibratedCamera:
    """A calibrated camera, for images of one size.

    projection: [3, 4], of the full, unbinned sensor; for an image that isn't rectified [K | 0].
    lens: how directions are seen; a pinhole for a rectified image.
    scale, offset: pixels of the image to pixels of the full sensor, x and y.
    """

    projection: NDArray[np.float64]
    lens: Lens
    scale: tuple[float, float]
    offset: tuple[float, float]

    def points(self, pixels: Points, depths: NDArray[np.float64]) -> Points:
        """Where `pixels` [N, 2] are in the optical frame at `depths` [N] along its z axis: [N, 3].

        Everything in metres. NaN where a pixel shows nothing in front of the camera, by the lens
        that camera_info describes, or at all, by an absurd calibration.
        """
        if not len(pixels):
            return np.zeros((0, 3))
        full = pixels * self.scale + self.offset
        with np.errstate(all="ignore"):
            seen = self._in_focal_lengths(full - self.projection[:2, 2])
            rays = self.lens.rays(seen, self.projection[[0, 1], [0, 1]])
            # A second camera's projection starts from the first one's frame, which is beside it.
            beside = self._in_focal_lengths(self.projection[None, :2, 3])
            found = np.concatenate([rays * depths[:, None] - beside, depths[:, None]], axis=1)
        found[~np.isfinite(found).all(axis=1)] = np.nan
        return found

    def _in_focal_lengths(self, places: Points) -> Points:
        """Pixels from the principal point [N, 2], for pixels that may be skewed."""
        (fx, skew), (_, fy) = self.projection[:2, :2]
        y = places[:, 1] / fy
        return np.stack([(places[:, 0] - skew * y) / fx, y], axis=1)


def calibrated_camera(
    info: CameraInfo, width: int, height: int, rectified: bool
) -> CalibratedCamera:
    """The camera for images of width x height pixels.

    rectified: whether lens distortion is taken out of the image, so that P holds; else K and D do.
    Raises InputError for a camera that is not calibrated, or other than the one of the image.
    """
    projection = _projection(info, rectified)
    scale, offset = _window(info, width, height)
    lens = PINHOLE
    if not rectified:
        lens = lens_of(info.distortion_model, np.array(info.d, dtype=np.float64))
    return CalibratedCamera(projection, lens, scale, offset)


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
    binning = max(info.binning_x, 1), max(info.binning_y, 1)
    columns, rows = int(roi.width or info.width), int(roi.height or info.height)
    if not columns or not rows:  # a driver that doesn't tell: the image is all there is
        columns, rows = width * binning[0], height * binning[1]
    scale = (columns / width, rows / height)
    shrunk = scale[0] / binning[0], scale[1] / binning[1]  # beyond the binning
    if abs(shrunk[0] / shrunk[1] - 1) > _SAME_SHAPE:
        raise InputError(
            f"camera_info: is for {columns}x{rows} pixels{_binned(binning)}, expected the shape of "
            f"the {width}x{height} image; take both from the same camera"
        )
    a_part = bool(roi.width or roi.height) or max(binning) > 1
    if a_part and min(shrunk) < 1 - _SAME_SHAPE:
        raise InputError(
            f"camera_info: says that the image is {columns}x{rows} pixels of the sensor"
            f"{_binned(binning)}, but it has {width}x{height}; take both from the same camera"
        )
    # Pixel centres are whole numbers: the first of two binned pixels is half a pixel beside.
    offset = (roi.x_offset + (scale[0] - 1) / 2, roi.y_offset + (scale[1] - 1) / 2)
    return scale, offset


def _binned(binning: tuple[int, int]) -> str:
    return f" binned by {binning[0]}x{binning[1]}" if max(binning) > 1 else ""
