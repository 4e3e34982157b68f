"""Distortion models of camera_info, inverted: from where a direction is seen to the direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

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
