"""Rectangles and lines on a picture, many at once; each x0, y0, x1, y1 in pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]
"""float64 [K, 4]."""

_ALONG: Final = np.linspace(0, 1, 11)[1:-1, None]  # of a line, where it is looked at


def gap(rects: Rects, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in pixels between each of `rects` [K, 4] and the box: [K]."""
    sides = np.maximum(box[:2] - rects[:, 2:], rects[:, :2] - box[2:]).clip(min=0)
    return np.asarray(np.hypot(sides[:, 0], sides[:, 1]))


def leader_lines(rects: Rects, boxes: NDArray[np.float64]) -> Rects:
    """The shortest line from each of `rects` [K, 4] to its box ([K, 4], or [4] for all).

    Returns x, y of each start and x, y of each end: [K, 4].
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    middle = (np.maximum(rects[:, :2], low) + np.minimum(rects[:, 2:], high)) / 2
    beyond, before = rects[:, :2] > high, rects[:, 2:] < low  # else side by side on this axis
    start = np.where(beyond, rects[:, :2], np.where(before, rects[:, 2:], middle))
    end = np.where(beyond, high, np.where(before, low, middle))
    return np.concatenate([start, end], axis=1)


def crossings(lines: Rects, rects: Rects) -> NDArray[np.bool_]:
    """Whether each line [K, 4] runs through each of `rects` [J, 4], its ends aside: [K, J]."""
    points = lines[:, None, :2] * (1 - _ALONG) + lines[:, None, 2:] * _ALONG
    x, y = points[..., None, 0], points[..., None, 1]
    inside = (x > rects[:, 0]) & (x < rects[:, 2]) & (y > rects[:, 1]) & (y < rects[:, 3])
    return np.asarray(inside.any(axis=1))


def areas(rects: Rects) -> NDArray[np.float64]:
    """[K], at least one pixel each."""
    return np.asarray(np.prod(rects[:, 2:] - rects[:, :2], axis=1).clip(min=1.0))


def overlap(rects: Rects, others: Rects) -> NDArray[np.float64]:
    """Area in pixels that each of `rects` [K, 4] shares with each of `others` [J, 4]: [K, J]."""
    left, top, right, bottom = (rects[:, None, n] for n in range(4))
    wide = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
    high = np.minimum(bottom, others[:, 3]) - np.maximum(top, others[:, 1])
    return np.asarray(np.maximum(wide, 0.0) * np.maximum(high, 0.0))
