"""A place on the picture for each plate: off the other plates, off the objects, near its own.

Knows rectangles only, each x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]
"""float64 [K, 4]."""

_MOST_SEARCHED: Final = 60  # with more plates no picture has room: only near places are tried
_MOST_REFINED: Final = 24  # as for refinement, which takes time with the square of their number
_SWEEPS: Final = 3
_COLUMNS: Final = 28
_ROWS: Final = 24  # of the grid of places that are tried beside the natural ones
_SHORTLIST: Final = 48  # places whose leader line is looked at
_ALONG: Final = np.linspace(0, 1, 11)[1:-1]  # of a leader line, where it is looked at
_SPACE: Final = 3.0  # pixels between a plate and what it stands beside
BESIDE: Final = 5.0  # pixels: a plate this near its object needs no leader line

# What a place costs. The distance is in heights of the picture.
_ON_PLATE: Final = 100.0  # an overlap with another plate: only where there is no other way
_ON_OBJECT: Final = 2.5  # the share of another object that it hides
_ON_OWN: Final = 2.0  # the share of its own object that it hides
_ON_ANY: Final = 0.4  # the share of the plate that stands on objects
_CROSSING: Final = 0.3  # each plate or other object that its leader line runs through
_FAR: Final = 0.3  # as for the strain of all places: the longest way to an object
_ORDER: Final = 1e-4  # by which a more natural place is preferred among equals


@dataclass(frozen=True)
class Places:
    """Where the plates stand.

    rects: [K, 4]. overlapping: whether any two share a pixel. strain: how bad the places are else,
    0 at best: the share of an object that plates hide, as a mean over the objects, and how far a
    plate is from its object at most.
    """

    rects: Rects
    overlapping: bool
    strain: float


def place(sizes: Sequence[tuple[int, int]], boxes: Rects, width: int, height: int) -> Places:
    """Places for plates of `sizes` (width, height), one for each of `boxes` [K, 4].

    One after the other, most crowded box first; then each is tried again among the others.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.abs(centres[:, None] - centres[None]).sum(axis=-1)
    order = np.argsort(distances.sum(axis=1), kind="stable").tolist()
    searches = [_Search(size, index, boxes, width, height) for index, size in enumerate(sizes)]
    rects = np.zeros((len(boxes), 4))
    placed: list[int] = []
    for sweep in range(_SWEEPS if len(boxes) <= _MOST_REFINED else 1):
        before = rects.copy()
        for index in order:
            others = [other for other in placed if other != index]
            rects[index] = searches[index].best(rects[others], boxes[others])
            if not sweep:
                placed.append(index)
        if sweep and (before == rects).all():
            break
    between = _overlap(rects, rects)
    np.fill_diagonal(between, 0)
    hidden = np.minimum(_overlap(rects, boxes).sum(axis=0) / _areas(boxes), 1.0).mean()
    lines = leader(rects, boxes)
    farthest = np.linalg.norm(lines[:, 2:] - lines[:, :2], axis=1).max() / height
    return Places(rects, bool((between > 0).any()), float(hidden + _FAR * farthest))


def gap(rects: Rects, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in pixels between each of `rects` [K, 4] and the box: [K]."""
    sides = np.maximum(box[:2] - rects[:, 2:], rects[:, :2] - box[2:]).clip(min=0)
    distances: NDArray[np.float64] = np.hypot(sides[:, 0], sides[:, 1])
    return distances


def leader(rects: Rects, boxes: NDArray[np.float64]) -> Rects:
    """The shortest line from each of `rects` [K, 4] to its box ([K, 4], or [4] for all).

    Returns x, y of each start and x, y of each end: [K, 4].
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    middle = (np.maximum(rects[:, :2], low) + np.minimum(rects[:, 2:], high)) / 2
    beyond, before = rects[:, :2] > high, rects[:, 2:] < low  # else side by side on this axis
    start = np.where(beyond, rects[:, :2], np.where(before, rects[:, 2:], middle))
    end = np.where(beyond, high, np.where(before, low, middle))
    return np.concatenate([start, end], axis=1)


class _Search:
    """The places that one plate may have, and what each costs whatever the other plates do."""

    def __init__(
        self, size: tuple[int, int], index: int, boxes: Rects, width: int, height: int
    ) -> None:
        self._box = boxes[index]
        self._obstacles = np.delete(boxes, index, axis=0)
        self._area = max(size[0] * size[1], 1)
        spots = _near(*size, self._box)
        if len(boxes) <= _MOST_SEARCHED:
            spots = np.concatenate([spots, _grid(*size, width, height)])
        most = (max(width - size[0], 0), max(height - size[1], 0))
        corners = np.round(spots).clip(0, most)
        self._rects = np.concatenate([corners, corners + size], axis=1)
        on_objects = _overlap(self._rects, boxes)
        weights = np.full(len(boxes), _ON_OBJECT)
        weights[index] = _ON_OWN
        self._cost = np.minimum(on_objects / _areas(boxes), 1.0) @ weights
        self._cost += _ON_ANY * on_objects.sum(axis=1) / self._area
        self._cost += (gap(self._rects, self._box) - BESIDE).clip(min=0) / height
        self._cost += _ORDER * np.minimum(np.arange(len(spots)), 20)

    def best(self, plates: Rects, theirs: Rects) -> NDArray[np.float64]:
        """The cheapest place among the other `plates`, which belong to the boxes `theirs`."""
        cost = self._cost + _ON_PLATE * _overlap(self._rects, plates).sum(axis=1) / self._area
        shortlist = np.argpartition(cost, min(_SHORTLIST, len(cost) - 1))[:_SHORTLIST]
        rects = self._rects[shortlist]
        obstacles = np.concatenate([plates, self._obstacles])
        crossing = _crossed(leader(rects, self._box), obstacles)
        # This plate may not stand on the leaders of others either.
        crossing += _crossed_by(rects, leader(plates, theirs))
        found: NDArray[np.float64] = rects[np.argmin(cost[shortlist] + _CROSSING * crossing)]
        return found


def _near(w: int, h: int, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper left corners beside the box, the most natural first: above, below, right, left, in."""
    x0, y0, x1, y1 = (float(v) for v in box)
    above, below, right, left = y0 - h - _SPACE, y1 + _SPACE, x1 + _SPACE, x0 - w - _SPACE
    middle_x, middle_y = (x0 + x1 - w) / 2, (y0 + y1 - h) / 2
    corners = [(x0, above), (x1 - w, above), (middle_x, above)]
    corners += [(x0, below), (x1 - w, below), (middle_x, below)]
    corners += [(right, y0), (right, y1 - h), (right, middle_y)]
    corners += [(left, y0), (left, y1 - h), (left, middle_y)]
    corners += [(x0 + _SPACE, y0 + _SPACE), (x0 + _SPACE, y1 - h - _SPACE)]
    return np.array(corners, dtype=np.float64)


def _grid(w: int, h: int, width: int, height: int) -> NDArray[np.float64]:
    """Upper left corners all over the picture."""
    xs = np.linspace(0, max(width - w, 0), _COLUMNS)
    ys = np.linspace(0, max(height - h, 0), _ROWS)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _points(lines: Rects) -> NDArray[np.float64]:
    """Points on each of `lines` [K, 4], ends excluded: [K, P, 2]."""
    along = _ALONG[:, None]
    return lines[:, None, :2] * (1 - along) + lines[:, None, 2:] * along


def _inside(points: NDArray[np.float64], rects: Rects) -> NDArray[np.bool_]:
    """Whether each point [K, P, 2] is in each rectangle [J, 4]: [K, P, J]."""
    x, y = points[..., None, 0], points[..., None, 1]
    within = (x > rects[:, 0]) & (x < rects[:, 2]) & (y > rects[:, 1]) & (y < rects[:, 3])
    return np.asarray(within)


def _crossed(lines: Rects, obstacles: Rects) -> NDArray[np.float64]:
    """How many obstacles [J, 4] each line [K, 4] runs through: [K]."""
    counts: NDArray[np.float64] = _inside(_points(lines), obstacles).any(axis=1).sum(axis=1)
    return counts


def _crossed_by(rects: Rects, lines: Rects) -> NDArray[np.float64]:
    """How many lines [J, 4] run under each of `rects` [K, 4]: [K]."""
    counts: NDArray[np.float64] = _inside(_points(lines), rects).any(axis=1).sum(axis=0)
    return counts


def _areas(rects: Rects) -> NDArray[np.float64]:
    """[K], at least one pixel each."""
    areas: NDArray[np.float64] = np.prod(rects[:, 2:] - rects[:, :2], axis=1).clip(min=1.0)
    return areas


def _overlap(rects: Rects, others: Rects) -> NDArray[np.float64]:
    """Area in pixels that each of `rects` [K, 4] shares with each of `others` [J, 4]: [K, J]."""
    left, top, right, bottom = (rects[:, None, n] for n in range(4))
    wide = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
    high = np.minimum(bottom, others[:, 3]) - np.maximum(top, others[:, 1])
    shared: NDArray[np.float64] = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
    return shared
