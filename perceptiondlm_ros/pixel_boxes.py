"""Boxes and masks in the pixels of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, the right and lower edge exclusive."""

NOTHING: Box = (0.0, 0.0, 0.0, 0.0)

MOST_PIXELS = 2**27
"""Of an image; more is taken for a mistake: 134 megapixels."""


def clipped(box: Box, width: float, height: float) -> Box:
    """The part of a box inside an image; x0 >= x1 or y0 >= y1 where there is none."""
    x0, y0, x1, y1 = box
    return (
        min(max(x0, 0.0), float(width)),
        min(max(y0, 0.0), float(height)),
        min(max(x1, 0.0), float(width)),
        min(max(y1, 0.0), float(height)),
    )


def box_around(mask: NDArray[np.bool_]) -> Box:
    """The smallest box that holds all pixels of a mask [H, W]; NOTHING where there are none."""
    edges = Image.fromarray(mask.view(np.uint8)).getbbox()
    if edges is None:
        return NOTHING
    x0, y0, x1, y1 = edges
    return float(x0), float(y0), float(x1), float(y1)
