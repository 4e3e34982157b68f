"""Find places for objects: inside the image, hardly covered, and with one clear neighbour."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.scenes.scene import DIRECTION_TOLERANCE, NEAREST_TOLERANCE

Places = NDArray[np.float64]
"""[N, 2], centres in px."""

_CANDIDATES: Final = 48
_COMPARED: Final = 8
"""How many of the candidates that fit are compared for clear captions."""

_MARGIN: Final = 0.02
_GAP: Final = 0.015
"""Free space to the image's edge and between objects, as a fraction of the shorter side."""

OVERLAP: Final = 0.13
"""How far a box may reach into another, as a fraction of the smaller diameter. A triangle
covered along its base by that much still shows 0.87 squared, more than 75 %, of its area."""

_TOUCHING_SHARE: Final = 0.25


def place(
    diameters: NDArray[np.float64], width: int, height: int, rng: np.random.Generator
) -> Places | None:
    """Return a centre for each diameter (px), or None where one of them found no place.

    No object overlaps more than one other, and then by at most OVERLAP.
    """
    short = min(width, height)
    order = np.argsort(-diameters)  # the large ones need the choice
    places = np.zeros((len(diameters), 2))
    touching = np.zeros(len(diameters), bool)
    for count, index in enumerate(order):
        done = order[:count]
        inset = diameters[index] / 2 + _MARGIN * short
        span = np.array([width, height]) - 2 * inset
        if (span <= 0).any():
            return None
        may_touch = count > 0 and rng.random() < _TOUCHING_SHARE
        trials = inset + rng.random((_CANDIDATES, 2)) * span
        clearance = _clearance(trials, diameters[index], places[done], diameters[done])
        free = (clearance >= _GAP * short).all(axis=1)
        if may_touch:
            smaller = np.minimum(diameters[index], diameters[done])
            overlaps = (clearance < 0) & (clearance >= -OVERLAP * smaller) & ~touching[done]
            clear = clearance >= _GAP * short
            single = (overlaps | clear).all(axis=1) & (overlaps.sum(axis=1) == 1)
            free = single if single.any() else free
        trials = trials[free][:_COMPARED]
        if not len(trials):
            return None
        places[index] = _clearest(trials, places[done])
        near = _clearance(places[None, index], diameters[index], places[done], diameters[done])[0]
        touching[done[near < 0]] = True
        touching[index] = bool((near < 0).any())
    return places


def unclear(places: Places) -> int:
    """Count the objects for which more than one caption would be acceptable."""
    if len(places) < 2:
        return 0
    offset = np.abs(places[:, None] - places[None])
    distance = np.hypot(offset[..., 0], offset[..., 1])
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argmin(axis=1)
    rows = np.arange(len(places))
    limit = distance[rows, nearest] * (1 + NEAREST_TOLERANCE)
    rivals = (distance <= limit[:, None]).sum(axis=1) > 1
    dx, dy = offset[rows, nearest].T
    diagonal = np.minimum(dx, dy) >= np.maximum(dx, dy) * (1 - DIRECTION_TOLERANCE)
    return int((rivals | diagonal).sum())


def _clearance(
    trials: Places, diameter: float, places: Places, diameters: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return [trials, places]: px between the boxes along the axis that parts them better."""
    apart: NDArray[np.float64] = np.abs(trials[:, None] - places[None]).max(axis=-1)
    clearance: NDArray[np.float64] = apart - (diameter + diameters) / 2
    return clearance


def _clearest(trials: Places, places: Places) -> Places:
    """Return the first trial that leaves the fewest objects unclear."""
    best: Places = trials[0]
    fewest = len(places) + 2
    for trial in trials:
        count = unclear(np.vstack([places, trial]))
        if count < fewest:
            best, fewest = trial, count
        if count == 0:
            break
    return best
