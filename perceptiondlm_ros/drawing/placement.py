"""A place on the picture for each plate: off the other plates, off the objects, near its own.

Knows rectangles only, each x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.geometry import (
    Rects,
    areas,
    crossed,
    crossed_by,
    gap,
    leader,
    overlap,
)

_MOST_OTHERS: Final = 100  # of so many objects no picture can show all
_MOST_REFINED: Final = 24  # as for refinement, which takes time with the square of their number
_SWEEPS: Final = 3
_COLUMNS: Final = 28
_ROWS: Final = 24  # of the grid of places that are tried beside the natural ones
_SHORTLIST: Final = 48  # places whose leader line is looked at
_SPACE: Final = 3.0  # pixels between a plate and what it stands beside
BESIDE: Final = 5.0  # pixels: a plate this near its object needs no leader line

# What a place costs. The distance is in heights of the picture.
_ON_PLATE: Final = 100.0  # an overlap with another plate: only where there is no other way
_ON_OBJECT: Final = 2.5  # the share of another object that it hides
_ON_OWN: Final = 2.0  # the share of its own object that it hides
_ON_ANY: Final = 0.4  # the share of the plate that stands on objects
_CROSSING: Final = 0.3  # each plate or other object that its leader line runs through
_FAR: Final = 0.3  # as for the strain of all places: the longest way to an object
_STAY: Final = 0.25  # what a plate may save at least by leaving the place that it had
_ORDER: Final = 1e-4  # by which a more natural place is preferred among equals


@dataclass(frozen=True)
class Spot:
    """Where a plate stands as seen from its object: a natural place by number, or a distance.

    offset: of the plate's centre from the object's, x and y, where `near` is None.
    """

    near: int | None
    offset: tuple[float, float]


@dataclass(frozen=True)
class Places:
    """Where the plates stand.

    rects: [K, 4]. spots: the same as seen from the objects. overlapping: whether any two share a
    pixel. strain: how bad the places are else, 0 at best: the share of an object that plates hide,
    as a mean over the objects, and how far a plate is from its object at most.
    """

    rects: Rects
    spots: list[Spot]
    overlapping: bool
    strain: float


def place(
    sizes: Sequence[tuple[int, int]],
    boxes: Rects,
    width: int,
    height: int,
    before: Sequence[Spot | None] = (),
    others: Rects | None = None,
) -> Places:
    """Places for plates of `sizes` (width, height), one for each of `boxes` [K, 4].

    One after the other, most crowded box first; then each is tried again among the others.
    before: for each, where it stood on the last picture, which it only leaves for a better place.
    others: [J, 4], objects without a plate, not to be hidden either.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.abs(centres[:, None] - centres[None]).sum(axis=-1)
    order = np.argsort(distances.sum(axis=1), kind="stable").tolist()
    objects = boxes if others is None else np.concatenate([boxes, others[:_MOST_OTHERS]])
    searches = [
        _Search(size, index, objects, (width, height), last)
        for index, (size, last) in enumerate(zip(sizes, before or [None] * len(sizes), strict=True))
    ]
    rects = np.zeros((len(boxes), 4))
    placed: list[int] = []
    for sweep in range(_SWEEPS if len(boxes) <= _MOST_REFINED else 1):
        earlier = rects.copy()
        for index in order:
            beside = [other for other in placed if other != index]
            rects[index] = searches[index].best(rects[beside], boxes[beside])
            if not sweep:
                placed.append(index)
        if sweep and (earlier == rects).all():
            break
    between = overlap(rects, rects)
    np.fill_diagonal(between, 0)
    hidden = np.minimum(overlap(rects, objects).sum(axis=0) / areas(objects), 1.0).mean()
    lines = leader(rects, boxes)
    farthest = np.linalg.norm(lines[:, 2:] - lines[:, :2], axis=1).max() / height
    return Places(
        rects,
        [search.spot for search in searches],
        overlapping=bool((between > 0).any()),
        strain=float(hidden + _FAR * farthest),
    )


class _Search:
    """The places that one plate may have, and what each costs whatever the other plates do."""

    def __init__(
        self,
        size: tuple[int, int],
        index: int,
        boxes: Rects,
        picture: tuple[int, int],
        last: Spot | None,
    ) -> None:
        width, height = picture
        self._box = boxes[index]
        self._obstacles = np.delete(boxes, index, axis=0)
        self._area = max(size[0] * size[1], 1)
        self._chosen = 0
        near = _near(*size, self._box)
        self._near = len(near)
        spots = [near, _grid(*size, width, height)]
        if last is not None and last.near is None:
            spots.append((self._centre(self._box) + last.offset - np.array(size) / 2)[None])
        corners = np.concatenate(spots)
        corners = np.round(corners).clip(0, (max(width - size[0], 0), max(height - size[1], 0)))
        self._rects = np.concatenate([corners, corners + size], axis=1)
        on_objects = overlap(self._rects, boxes)
        weights = np.full(len(boxes), _ON_OBJECT)
        weights[index] = _ON_OWN
        self._cost = np.minimum(on_objects / areas(boxes), 1.0) @ weights
        self._cost += _ON_ANY * on_objects.sum(axis=1) / self._area
        self._cost += (gap(self._rects, self._box) - BESIDE).clip(min=0) / height
        self._cost += _ORDER * np.minimum(np.arange(len(corners)), 20)
        if last is not None:
            self._cost[-1 if last.near is None else last.near] -= _STAY

    def best(self, plates: Rects, theirs: Rects) -> NDArray[np.float64]:
        """The cheapest place among the other `plates`, which belong to the boxes `theirs`."""
        cost = self._cost + _ON_PLATE * overlap(self._rects, plates).sum(axis=1) / self._area
        shortlist = np.argpartition(cost, min(_SHORTLIST, len(cost) - 1))[:_SHORTLIST]
        rects = self._rects[shortlist]
        obstacles = np.concatenate([plates, self._obstacles])
        crossing = crossed(leader(rects, self._box), obstacles)
        # This plate may not stand on the leaders of others either.
        crossing += crossed_by(rects, leader(plates, theirs))
        self._chosen = int(shortlist[np.argmin(cost[shortlist] + _CROSSING * crossing)])
        found: NDArray[np.float64] = self._rects[self._chosen]
        return found

    @property
    def spot(self) -> Spot:
        """The place that was found best last."""
        if self._chosen < self._near:
            return Spot(self._chosen, (0.0, 0.0))
        x, y = self._centre(self._rects[self._chosen]) - self._centre(self._box)
        return Spot(None, (float(x), float(y)))

    @staticmethod
    def _centre(rect: NDArray[np.float64]) -> NDArray[np.float64]:
        middle: NDArray[np.float64] = (rect[:2] + rect[2:]) / 2
        return middle


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
