"""From pixels to directions in the camera's optical frame (REP-103: x right, y down, z forward)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from perceptiondlm_ros.errors import InputError

Points = NDArray[np.float64]
"""float64 [N, 2] or [N, 3]."""

WIDEST: Final = 89.0  # degrees from the optical axis; at 90 a direction no longer meets any plane

_BROWN: Final = (4, 5, 8, 12, 14)
_COEFFICIENTS: Final = {
    "plumb_bob": _BROWN,
    "rational_polynomial": _BROWN,
    "thin_prism": _BROWN,
    "equidistant": (4,),
    "fisheye": (4,),
}
_FISHEYES: Final = ("equidistant", "fisheye")
_RADIAL: Final = np.array([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
_ANGLES: Final = np.linspace(0.0, np.radians(WIDEST), 4001)
_ROUNDS: Final = 10  # until what isn't radial is taken out; each brings a digit or more
_EXACT: Final = 0.5  # px by which a direction may be seen beside its pixel
_SAME_SHAPE: Final = 0.02  # by which the ratio of the sides may differ in a scaled image
_NOWHERE: Final = np.zeros(3)
_UNIT: Final = np.eye(3)


@dataclass(frozen=True)
class Lens:
    """How directions are seen. Without coefficients it is a pinhole, or a fisheye's plain model.

    OpenCV's own inversions are not used: the one for fisheyes takes what is seen more than pi/2
    focal lengths from the middle for something else, and the other one does not tell where it
    failed.
    """

    fisheye: bool
    coefficients: NDArray[np.float64]

    @property
    def distorts(self) -> bool:
        """Whether it is no pinhole."""
        return self.fisheye or bool(self.coefficients.any())

    def rays(self, seen: Points, focal: NDArray[np.float64]) -> Points:
        """x and y at depth 1 of the directions that are seen at these places, both [N, 2].

        seen: from the principal point, in focal lengths. focal: [2], in pixels.
        NaN where nothing in front of the camera, within WIDEST of its axis, is seen there.
        """
        with np.errstate(all="ignore"):
            rays = self._inverted(seen) if self.distorts else seen.copy()
            beside = np.abs(self._seen(rays, self.coefficients) - seen) * focal
            rays[~(beside <= _EXACT).all(axis=1)] = np.nan
            wide = np.hypot(rays[:, 0], rays[:, 1]) > np.tan(_ANGLES[-1]) * (1 + 1e-9)
        rays[wide] = np.nan
        return rays

    def _inverted(self, seen: Points) -> Points:
        """The nearest directions within the part of the lens that is known."""
        rays = self._radially_inverted(seen)
        if self.fisheye or not self.coefficients[~_RADIAL].any():
            return rays
        for _ in range(_ROUNDS):
            # What isn't radial is small and changes slowly, so it is taken from the last round.
            whole = self._seen(rays, self.coefficients)
            radial = self._seen(rays, self.coefficients * _RADIAL)
            rays = self._radially_inverted(seen - (whole - radial))
        return rays

    def _radially_inverted(self, seen: Points) -> Points:
        distances = np.hypot(seen[:, 0], seen[:, 1])
        angles = np.interp(distances, *self._rising)
        stretch = np.divide(
            np.tan(angles), distances, out=np.ones_like(distances), where=distances > 0
        )
        return seen * stretch[:, None]

    @cached_property
    def _rising(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far from the middle directions are seen, and their angles from the axis.

        Up to where the one no longer grows with the other: no lens does so, but a polynomial does
        beyond the points that it was fitted to.
        """
        k = self.coefficients
        with np.errstate(all="ignore"):
            if self.fisheye:
                squares = _ANGLES**2
                radii = _ANGLES * np.polyval([*k[3::-1], 1.0], squares)
            else:
                tangents = np.tan(_ANGLES)
                squares = tangents**2
                above, below = (k[4], k[1], k[0], 1.0), (k[7], k[6], k[5], 1.0)
                radii = tangents * np.polyval(above, squares) / np.polyval(below, squares)
            grows = (np.diff(radii) > 0) & np.isfinite(radii[1:])
        count = 1 + (len(grows) if grows.all() else int(grows.argmin()))
        return radii[:count], _ANGLES[:count]

    def _seen(self, rays: Points, coefficients: NDArray[np.float64]) -> Points:
        """Where directions, x and y at depth 1, are seen."""
        places = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)[:, None]
        project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
        seen, _ = project(places, _NOWHERE, _NOWHERE, _UNIT, coefficients)
        return np.asarray(seen, np.float64)[:, 0]


PINHOLE: Final = Lens(False, np.zeros(14))


def lens_of(model: str, d: NDArray[np.float64]) -> Lens:
    """The lens of a distortion model with these coefficients, [any number].

    Zeros at the end are as good as none. Raises InputError for a model that is not known, and for
    coefficients that are not those of the model, or not finite.
    """
    if not np.isfinite(d).all():
        raise InputError("camera_info: D is not finite, expected numbers; calibrate the camera")
    used = int(np.flatnonzero(d).max(initial=-1)) + 1
    counts = _COEFFICIENTS.get(model, ())
    if used and not counts:
        raise InputError(
            f"camera_info: got {len(d)} coefficients of the distortion model {model!r}, expected "
            f"one of {', '.join(_COEFFICIENTS)}; rectify the image and set markers.rectified"
        )
    if used and not any(used <= count <= len(d) for count in counts):
        expected = ", ".join(str(count) for count in counts)
        raise InputError(
            f"camera_info: got {len(d)} coefficients of the distortion model {model!r}, expected "
            f"{expected} (zeros may follow); calibrate the camera, or rectify the image and set "
            "markers.rectified"
        )
    fisheye = model in _FISHEYES
    coefficients = np.zeros(4 if fisheye else 14)
    coefficients[:used] = d[:used]
    return Lens(fisheye, coefficients)


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
