"""A cheap signature of what is seen in a box, to tell whether it still looks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box

Signature = NDArray[np.float32]
"""[CELLS, CELLS, 3], mean red, green and blue of each cell of the box, relative to the image's."""

CELLS = 4
_SAMPLES = 8  # a side of a cell: many enough to average over patterns and noise
_STRIDE = 16  # of the pixels that the image's brightness is taken from


def brightness(pixels: NDArray[np.uint8]) -> float:
    """Mean of the image (uint8 [H, W, 3]); what the camera's exposure moves up and down."""
    return float(max(pixels[::_STRIDE, ::_STRIDE].mean(), 1.0))


def signature(pixels: NDArray[np.uint8], box: Box, level: float) -> Signature:
    """The signature of a box that has a part inside the image (uint8 [H, W, 3]).

    level: the image's `brightness`; signatures are relative to it, so that an exposure that follows
    the light changes none.
    """
    height, width = pixels.shape[:2]
    columns = _sample(box[0], box[2], width)
    rows = _sample(box[1], box[3], height)
    samples = pixels[rows[:, None], columns].reshape(CELLS, _SAMPLES, CELLS, _SAMPLES, 3)
    means: Signature = samples.mean(axis=(1, 3), dtype=np.float32) / np.float32(level)
    return means


def difference(one: Signature, other: Signature) -> float:
    """Mean difference of two signatures, as a fraction of the image's brightness."""
    return float(np.abs(one - other).mean())


def _sample(low: float, high: float, size: int) -> NDArray[np.int64]:
    """Evenly spread pixels of one axis of a box, inside the image."""
    low, high = max(low, 0.0), min(high, float(size))
    count = CELLS * _SAMPLES
    places = low + (np.arange(count) + 0.5) * ((high - low) / count)
    return np.clip(places.astype(np.int64), 0, size - 1)
