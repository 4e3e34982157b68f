"""A place on the picture for each label: off the other labels, off the objects, near its own.

Knows rectangles and lines only, each x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Rects = NDArray[np.float64]
"""float64 [K, 4]."""

_MOST_OTHERS: Final = 100  # of so many objects no picture can show all
_MOST_REFINED: Final = 24  # as for refinement, which takes time with the square of their number
_SWEEPS: Final = 3
_COLUMNS: Final = 28
_ROWS: Final = 24  # of the grid of places that are tried beside the natural ones
_SHORTLIST: Final = 48  # places whose leader line is looked at
_ALONG: Final = np.linspace(0, 1, 11)[1:-1, None]  # of a leader line, where it is looked at
_SPACE: Final = 3.0  # pixels between a label and what it stands beside
BESIDE: Final = 5.0  # pixels: a label this near its object needs no leader line

# What a place costs. The distance is in heights of the picture.
_ON_LABEL: Final = 100.0  # an overlap with another label: only where there is no other way
_ON_OBJECT: Final = 2.5  # the share of another object that it hides
_ON_OWN: Final = 2.0  # the share of its own object that it hides
_ON_ANY: Final = 0.4  # the share of the label that stands on objects
_CROSSING: Final = 0.3  # each label or other object that its leader line runs through
_FAR: Final = 0.3  # as for the cost of all places: the longest way to an object
_STAY: Final = 0.25  # what a label may save at least by leaving the place that it had
_ORDER: Final = 1e-4  # by which a more natural place is preferred among equals


@dataclass(frozen=True)
class Position:
    """Where a label stands as seen from its object: a natural place by number, or a distance.

    offset: of the label's centre from the object's, x and y, where `natural` is None.
    """

    natural: int | None
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Placement:
    """Where the labels stand.

    rects: [K, 4]. positions: the same as seen from the objects. overlapping: whether any two share
    a pixel. cost: how bad the places are else, 0 at best: the share of an object that labels hide,
    as a mean over the objects, and how far a label is from its object at most.
    """

    rects: Rects
    positions: list[Position]
    overlapping: bool
    cost: float


def place_labels(
    sizes: Sequence[tuple[int, int]],
    boxes: Rects,
    width: int,
    height: int,
    before: Sequence[Position | None],
    others: Rects | None = None,
) -> Placement:
    """Places for labels of `sizes` (width, height), one for each of `boxes` [K, 4].

    One after the other, most crowded box first; then each is tried again among the others.
    before: for each, where it stood on the last picture, which it only leaves for a better place.
    others: [J, 4], objects without a label, not to be hidden either.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.abs(centres[:, None] - centres[None]).sum(axis=-1)
    order = np.argsort(distances.sum(axis=1), kind="stable").tolist()
    objects = boxes if others is None else np.concatenate([boxes, others[:_MOST_OTHERS]])
    searches = [
        _Search(np.array(size), index, objects, (width, height), last)
        for index, (size, last) in enumerate(zip(sizes, before, strict=True))
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
    lines = leader_lines(rects, boxes)
    farthest = np.linalg.norm(lines[:, 2:] - lines[:, :2], axis=1).max() / height
    return Placement(
        rects,
        [search.position for search in searches],
        overlapping=bool((between > 0).any()),
        cost=float(hidden + _FAR * farthest),
    )


class _Search:
    """The places that one label may have, and what each costs whatever the other labels do."""

    def __init__(
        self,
        size: NDArray[np.int_],
        index: int,
        objects: Rects,
        picture: tuple[int, int],
        last: Position | None,
    ) -> None:
        self._box = objects[index]
        self._obstacles = np.delete(objects, index, axis=0)
        self._area = max(int(size.prod()), 1)
        self._chosen = 0
        free = np.maximum(picture - size, 0)
        natural = _natural(int(size[0]), int(size[1]), self._box)
        self._natural = len(natural)
        tried = [natural, _grid(*free)]
        if last is not None and last.natural is None:
            tried.append((_centre(self._box) + last.offset - size / 2)[None])
        corners = np.round(np.concatenate(tried)).clip(0, free)
        self._rects = np.concatenate([corners, corners + size], axis=1)
        on_objects = overlap(self._rects, objects)
        weights = np.full(len(objects), _ON_OBJECT)
        weights[index] = _ON_OWN
        self._cost = np.minimum(on_objects / areas(objects), 1.0) @ weights
        self._cost += _ON_ANY * on_objects.sum(axis=1) / self._area
        self._cost += (gap(self._rects, self._box) - BESIDE).clip(min=0) / picture[1]
        self._cost += _ORDER * np.minimum(np.arange(len(corners)), 20)
        if last is not None:
            self._cost[-1 if last.natural is None else last.natural] -= _STAY

    def best(self, labels: Rects, their_boxes: Rects) -> NDArray[np.float64]:
        """The cheapest place among the other `labels`, which belong to `their_boxes`."""
        cost = self._cost + _ON_LABEL * overlap(self._rects, labels).sum(axis=1) / self._area
        shortlist = np.argpartition(cost, min(_SHORTLIST, len(cost) - 1))[:_SHORTLIST]
        rects = self._rects[shortlist]
        obstacles = np.concatenate([labels, self._obstacles])
        crossed = crossings(leader_lines(rects, self._box), obstacles).sum(axis=1)
        # This label may not stand on the leader lines of others either.
        crossed += crossings(leader_lines(labels, their_boxes), rects).sum(axis=0)
        self._chosen = int(shortlist[np.argmin(cost[shortlist] + _CROSSING * crossed)])
        found: NDArray[np.float64] = self._rects[self._chosen]
        return found

    @property
    def position(self) -> Position:
        """The place that was found best last."""
        if self._chosen < self._natural:
            return Position(self._chosen)
        x, y = _centre(self._rects[self._chosen]) - _centre(self._box)
        return Position(None, (float(x), float(y)))


def _centre(rect: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((rect[:2] + rect[2:]) / 2)


def _natural(w: int, h: int, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper left corners beside the box, the most natural first: above, below, right, left, in."""
    x0, y0, x1, y1 = (float(v) for v in box)
    across = (x0, x1 - w, (x0 + x1 - w) / 2)
    down = (y0, y1 - h, (y0 + y1 - h) / 2)
    corners = [(x, y) for y in (y0 - h - _SPACE, y1 + _SPACE) for x in across]
    corners += [(x, y) for x in (x1 + _SPACE, x0 - w - _SPACE) for y in down]
    corners += [(x0 + _SPACE, y0 + _SPACE), (x0 + _SPACE, y1 - h - _SPACE)]
    return np.array(corners, dtype=np.float64)


def _grid(free_width: int, free_height: int) -> NDArray[np.float64]:
    """Upper left corners all over the picture."""
    xs, ys = np.linspace(0, free_width, _COLUMNS), np.linspace(0, free_height, _ROWS)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


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
