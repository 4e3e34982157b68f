"""Boxes of detectors: rotated, in an image of another size, beyond its edges. In pixels, [rad].

A box is a BoundingBox2D of vision_msgs.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.pixel_boxes import NOTHING, Box, clipped

FITS = ("stretch", "letterbox", "corner")
"""How a detector brings an image to its own size: each side by itself; or both sides alike, with
the same padding on opposite sides, or with all of it on the right or below."""

_UPRIGHT = 0.02  # rad: less than a pixel on boxes of a hundred


@dataclass(frozen=True)
class Fit:
    """Where a detector sees the image's pixels: at `scale` times their place plus `offset`.

    size: width and height of what it sees. All are (x, y).
    """

    size: tuple[float, float]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @property
    def changes_nothing(self) -> bool:
        return self.scale == (1.0, 1.0) and self.offset == (0.0, 0.0)

    def to_image(self, box: Any) -> Any:
        """The box on the image itself; a rotated one on a stretched image only nearly."""
        if self.changes_nothing or not _finite(box):
            return box
        scale_x, scale_y = self.scale
        cosine, sine = math.cos(box.center.theta), math.sin(box.center.theta)
        moved = copy.deepcopy(box)
        moved.size_x = box.size_x * math.hypot(cosine / scale_x, sine / scale_y)
        moved.size_y = box.size_y * math.hypot(sine / scale_x, cosine / scale_y)
        moved.center.theta = math.atan2(sine / scale_y, cosine / scale_x)
        moved.center.position.x = (box.center.position.x - self.offset[0]) / scale_x
        moved.center.position.y = (box.center.position.y - self.offset[1]) / scale_y
        return moved


def fit_image(kind: str, seen_width: int, seen_height: int, width: int, height: int) -> Fit:
    """How an image of width x height was fitted into what the detector sees.

    kind: one of FITS. seen_width, seen_height: 0 follows from the other one; both 0: the image's.
    With a single 1 both are: coordinates from 0 to 1 are so along both sides.
    """
    if not seen_width and not seen_height:
        return Fit((width, height))
    if {seen_width, seen_height} == {0, 1}:
        seen_width = seen_height = 1
    seen_x = seen_width or seen_height * width / height
    seen_y = seen_height or seen_width * height / width
    scale = (seen_x / width, seen_y / height)
    if kind == "stretch":
        return Fit((seen_x, seen_y), scale)
    least = min(scale)
    padding = (seen_x - least * width, seen_y - least * height)
    offset = (padding[0] / 2, padding[1] / 2) if kind == "letterbox" else (0.0, 0.0)
    return Fit((seen_x, seen_y), (least, least), offset)


def box_corners(box: Any) -> Box:
    """Corners of the box; of a rotated one, of the smallest upright box that holds it."""
    cosine, sine = abs(math.cos(box.center.theta)), abs(math.sin(box.center.theta))
    half_width = (box.size_x * cosine + box.size_y * sine) / 2
    half_height = (box.size_x * sine + box.size_y * cosine) / 2
    x, y = box.center.position.x, box.center.position.y
    return x - half_width, y - half_height, x + half_width, y + half_height


def box_in_image(box: Any, width: int, height: int) -> Box:
    """The part of a box of finite numbers inside the image; x0 >= x1 or y0 >= y1: there is none."""
    return clipped(box_corners(box), width, height)


def check_box(box: Any, width: int, height: int) -> tuple[str, Box]:
    """Why the box can't be captioned (empty: it can), and its part inside the image."""
    if not _finite(box):
        return "with NaN or infinite numbers", NOTHING
    if box.size_x <= 0 or box.size_y <= 0:
        return "of no or negative size", NOTHING
    x0, y0, x1, y1 = box_in_image(box, width, height)
    if not (x0 < x1 and y0 < y1):  # also where huge numbers have become NaN
        return f"outside the {width}x{height} image", NOTHING
    return "", (x0, y0, x1, y1)


def has_size(box: Any) -> bool:
    """Whether the box is of finite numbers and has an area."""
    return _finite(box) and box.size_x > 0 and box.size_y > 0


def is_rotated(box: Any) -> bool:
    """Whether the box leaves corners of its upright hull free."""
    theta = box.center.theta  # twice of it may be infinite
    return abs(math.sin(theta) * math.cos(theta)) > _UPRIGHT


def rotated_mask(box: Any, width: int, height: int) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a rotated box that `check_box` has passed, bool [H, W]."""
    x0, y0, x1, y1 = box_in_image(box, width, height)
    columns, rows = slice(math.floor(x0), math.ceil(x1)), slice(math.floor(y0), math.ceil(y1))
    x = np.arange(columns.start, columns.stop) + (0.5 - box.center.position.x)
    y = np.arange(rows.start, rows.stop)[:, None] + (0.5 - box.center.position.y)
    cosine, sine = math.cos(box.center.theta), math.sin(box.center.theta)
    mask = np.zeros((height, width), np.bool_)
    with np.errstate(all="ignore"):  # numbers near the largest ones end as infinite: outside
        along, across = np.abs(x * cosine + y * sine), np.abs(y * cosine - x * sine)
    mask[rows, columns] = (along <= box.size_x / 2) & (across <= box.size_y / 2)
    return mask


def _finite(box: Any) -> bool:
    centre = box.center.position
    numbers = (centre.x, centre.y, box.center.theta, box.size_x, box.size_y)
    return all(map(math.isfinite, numbers))
