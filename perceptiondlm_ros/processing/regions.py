"""A region of an image: the pixels of a box, or of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perceptiondlm_ros.model.contract import BoolArray
from perceptiondlm_ros.pixel_boxes import Box, box_around


@dataclass(frozen=True)
class Region:
    """Pixels of an image that get one caption.

    Attributes:
        box: x0, y0, x1, y1, the smallest one that holds all of them; the right and lower edge
            exclusive, inside the image, of no area where there are no pixels.
        inside: bool [y1 - y0, x1 - x0], which pixels of the box these are; None is all.
    """

    box: tuple[int, int, int, int]
    inside: BoolArray | None = None

    @classmethod
    def of_box(cls, box: Box, height: int, width: int) -> Region:
        """The pixels that a box touches; what reaches outside the image is cut off."""
        x0, y0 = (max(0, math.floor(edge)) for edge in box[:2])
        return cls((x0, y0, min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))))

    @classmethod
    def of_mask(cls, mask: BoolArray) -> Region:
        """The pixels that are set in a mask [H, W]."""
        x0, y0, x1, y1 = map(int, box_around(mask))
        return cls((x0, y0, x1, y1), mask[y0:y1, x0:x1])

    @property
    def area(self) -> int:
        """The number of pixels."""
        if self.inside is not None:
            return int(np.count_nonzero(self.inside))
        x0, y0, x1, y1 = self.box
        return max(0, x1 - x0) * max(0, y1 - y0)

    @property
    def transposed(self) -> Region:
        """The same with x and y exchanged."""
        x0, y0, x1, y1 = self.box
        return Region((y0, x0, y1, x1), None if self.inside is None else self.inside.T)


def order_by_area(regions: Sequence[Region]) -> list[int]:
    """Indices of the regions, largest area first; of equal ones the later first, as published."""
    areas = np.array([region.area for region in regions])
    return [int(index) for index in np.argsort(areas, kind="stable")[::-1]]
