"""Scenes in motion: the same objects on smooth, bounded paths, with ids that stay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.scenes.sample import MAX_ANGLE, sample_scene
from perceptiondlm_ros.scenes.scene import Scene

_CANDIDATES: Final = 24
_MARGIN: Final = 0.02
_LOOK_AHEAD_S: Final = np.arange(0.0, 60.0, 0.5)


class MovingScene:
    """Objects that drift about their places; the same seed and time give the same scene."""

    def __init__(self, seed: int, width: int = 640, height: int = 480, objects: int = 5) -> None:
        """Draw the objects and their paths. Raises InputError as `sample_scene` does."""
        self._start = sample_scene(seed, width=width, height=height, objects=objects)
        rng = np.random.default_rng([seed, 1])
        # Of several sets of paths the one whose objects overlap least.
        paths = [_Paths(self._start, rng) for _ in range(_CANDIDATES)]
        self._paths = min(paths, key=_Paths.overlap)

    def at(self, time_s: float) -> Scene:
        """Return the scene `time_s` seconds after its start, for any finite time."""
        if not math.isfinite(time_s):
            raise InputError(f"time_s is {time_s}; expected a finite number of seconds")
        centres = self._paths.centres(np.array([time_s]))[0]
        sway = self._paths.sway(time_s)
        items = tuple(
            replace(item, centre=(float(x), float(y)), angle=float(angle))
            for item, (x, y), angle in zip(self._start.objects, centres, sway, strict=True)
        )
        tick = round(time_s * 1000) % 2**32  # each frame has noise of its own
        return replace(
            self._start, objects=items, noise_seed=(self._start.noise_seed + tick) % 2**32
        )


class _Paths:
    """One ellipse-like path an object, kept inside the image."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        count = len(scene.objects)
        short = min(scene.width, scene.height)
        self.diameters = np.array([item.diameter for item in scene.objects])
        middle = np.array([item.centre for item in scene.objects])
        low = (self.diameters / 2 + _MARGIN * short)[:, None]
        high = np.array([scene.width, scene.height]) - low
        reach = short * rng.uniform(0.06, 0.2, (count, 2))
        self.reach = np.minimum(reach, (high - low) / 2)
        self.middle = np.clip(middle, low + self.reach, high - self.reach)
        self.speed = 2 * math.pi / rng.uniform(8.0, 20.0, (count, 2))  # rad/s
        self.phase = rng.uniform(0, 2 * math.pi, (count, 2))

    def centres(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [T, N, 2], px."""
        turn = self.speed * times_s[:, None, None] + self.phase
        centres: NDArray[np.float64] = self.middle + self.reach * np.sin(turn)
        return centres

    def sway(self, time_s: float) -> NDArray[np.float64]:
        """Return [N], radians."""
        turn = self.speed.sum(axis=1) * time_s + self.phase[:, 0]
        sway: NDArray[np.float64] = MAX_ANGLE * np.sin(turn)
        return sway

    def overlap(self) -> float:
        """Return how much the boxes overlap over the first minute, as a score to compare."""
        centres = self.centres(_LOOK_AHEAD_S)
        apart = np.abs(centres[:, :, None] - centres[:, None]).max(axis=-1)
        touch = (self.diameters[:, None] + self.diameters[None]) / 2
        depth = np.maximum(touch - apart, 0) / np.minimum(self.diameters[:, None], self.diameters)
        return float(np.triu(depth.sum(axis=0), 1).sum())
