"""Scenes in motion: the same objects on smooth, bounded paths, with ids that stay."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.scenes.sample import MAX_ANGLE, sample_scene
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject

LOOP_S: Final = 48.0
"""Seconds after which every object is where it was, so that what holds for one loop holds on."""

_MARGIN: Final = 0.02
_CANDIDATES: Final = 120
_SETTLED: Final = 0.4
"""After this share of the candidates an object may move about another place."""

_MAX_DEPTH: Final = 0.25
"""How far two boxes may run into each other, as a fraction of the smaller diameter."""

_WIDEST, _NARROWEST = 0.2, 0.02
"""Range of a path's half width and half height, as a fraction of the shorter side."""

_CHECKED_S: Final = np.linspace(0.0, LOOP_S, 193)[:-1]

Array = NDArray[np.float64]


class MovingScene:
    """Objects that drift about their places; the same seed and time give the same scene.

    They pass each other closely and overlap at their edges at times.
    """

    def __init__(self, seed: int, width: int = 640, height: int = 480, objects: int = 5) -> None:
        """Draw the objects and their paths."""
        self._start = sample_scene(seed, size=(width, height), objects=objects)
        self._paths = _choose_paths(self._start, np.random.default_rng([seed, 1]))

    def at(self, time_s: float) -> Scene:
        """Return the scene `time_s` seconds after its start."""
        time = time_s % LOOP_S
        items = tuple(
            path.move(item, time)
            for item, path in zip(self._start.objects, self._paths, strict=True)
        )
        tick = round(time_s * 1000)  # noise is new in every frame
        noise_seed = (self._start.noise_seed + tick) % 2**32
        return replace(self._start, objects=items, noise_seed=noise_seed)


@dataclass(frozen=True)
class _Path:
    """An object's way: along x and y a sine each, whose periods divide the loop."""

    middle: Array  # [2] px
    reach: Array  # [2] px
    rounds: NDArray[np.int64]  # [2], in one loop
    phase: Array  # [2] rad

    def centres(self, times_s: Array) -> Array:
        """Return [T, 2] px."""
        turn = 2 * math.pi / LOOP_S * self.rounds * times_s[:, None] + self.phase
        centres: Array = self.middle + self.reach * np.sin(turn)
        return centres

    def move(self, item: SceneObject, time_s: float) -> SceneObject:
        """Return the object where it is, swaying a little, at `time_s`."""
        x, y = self.centres(np.array([time_s]))[0].tolist()
        sway = math.sin(2 * math.pi / LOOP_S * int(self.rounds.max()) * time_s + self.phase[0])
        return replace(item, centre=(x, y), angle=MAX_ANGLE * sway)


def _choose_paths(scene: Scene, rng: np.random.Generator) -> list[_Path]:
    """For each object the first path that keeps clear enough of the larger objects' paths."""
    paths: dict[int, _Path] = {}
    ways: list[Array] = []
    diameters: list[float] = []
    for index in sorted(range(len(scene.objects)), key=lambda i: -scene.objects[i].diameter):
        item = scene.objects[index]
        best: tuple[float, _Path, Array] | None = None
        for trial in range(_CANDIDATES):
            path = _draw_path(item, scene, trial / _CANDIDATES, rng)
            way = path.centres(_CHECKED_S)
            depth = _depth(way, item.diameter, ways, diameters)
            if best is None or depth < best[0]:
                best = depth, path, way
            if depth <= _MAX_DEPTH:
                break
        if best is not None:
            paths[index] = best[1]
            ways.append(best[2])
            diameters.append(item.diameter)
    return [paths[index] for index in range(len(scene.objects))]


def _draw_path(item: SceneObject, scene: Scene, patience: float, rng: np.random.Generator) -> _Path:
    """Draw a path: wide and about the object's place, then, the later (0 to 1), the narrower."""
    short = min(scene.width, scene.height)
    low = np.full(2, item.diameter / 2 + _MARGIN * short)
    high = np.array([scene.width, scene.height]) - low
    widest = short * (_WIDEST + (_NARROWEST - _WIDEST) * patience)
    reach = np.minimum(widest * rng.uniform(0.5, 1.0, 2), (high - low) / 2)
    anywhere = rng.uniform(low, high)
    middle = np.array(item.centre) if patience < _SETTLED else anywhere
    return _Path(
        middle=np.clip(middle, low + reach, high - reach),
        reach=reach,
        rounds=rng.integers(3, 7, 2),
        phase=rng.uniform(0, 2 * math.pi, 2),
    )


def _depth(way: Array, diameter: float, ways: list[Array], diameters: list[float]) -> float:
    """Return how far boxes run into each other at most; 0 or less where they never do."""
    if not ways:
        return -math.inf
    others = np.array(diameters)
    apart = np.abs(np.stack(ways) - way).max(axis=-1).min(axis=-1)
    depth = (others + diameter) / 2 - apart
    return float((depth / np.minimum(others, diameter)).max())
