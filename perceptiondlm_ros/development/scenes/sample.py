"""Random scenes, each settled by its seed alone."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.scenes.object_places import place, unclear
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS, PATTERNS, SHAPES, SIZES

EVALUATION_SEEDS: Final = range(2**20)
TRAINING_SEEDS: Final = range(2**20, 2**48)
"""Scenes to measure on and scenes to learn from; no seed is in both."""

MAX_OBJECTS: Final = 12
MAX_ANGLE: Final = 0.2
"""Radians to either side: turned further, a square would begin to look like a diamond."""

_IMAGE_SIZES: Final = ((640, 360), (640, 480), (480, 480), (1280, 720))
_IMAGE_SIZE_SHARES: Final = (0.33, 0.33, 0.3, 0.04)
_LAYOUTS: Final = 4
_MAX_FILL: Final = 0.42
"""Share of the image that the objects' boxes may take, so that places can be found."""


def sample_scene(
    seed: int, *, size: tuple[int, int] | None = None, objects: int | None = None
) -> Scene:
    """Return the scene of `seed`, with 1 to 12 objects.

    `size` is width and height (px, at least 64); without it one of four common camera sizes is
    drawn. `objects` fixes the number of objects.
    """
    rng = np.random.default_rng(seed)
    drawn = _IMAGE_SIZES[rng.choice(len(_IMAGE_SIZES), p=_IMAGE_SIZE_SHARES)]
    width, height = size or drawn
    count = int(rng.integers(1, MAX_OBJECTS + 1)) if objects is None else objects
    sizes, diameters, places = _layout(count, width, height, rng)
    items = [
        SceneObject(
            track_id=number + 1,
            size=sizes[number],
            pattern=str(rng.choice(PATTERNS)),
            colour=str(rng.choice(tuple(COLOURS))),
            shape=str(rng.choice(SHAPES)),
            centre=(float(places[number, 0]), float(places[number, 1])),
            diameter=float(diameters[number]),
            angle=float(rng.uniform(-MAX_ANGLE, MAX_ANGLE)),
        )
        for number in range(count)
    ]
    background, noise = (int(value) for value in rng.integers(2**32, size=2))
    return Scene(width, height, tuple(items), background, noise)


def _layout(
    count: int, width: int, height: int, rng: np.random.Generator
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Draw sizes and find places; where they don't fit, the largest object shrinks a class."""
    short = min(width, height)
    names = list(SIZES)
    # Uniform while there is room, leaning to the small when the image gets crowded.
    lean = 1.0 if count <= 5 else 0.6 if count <= 8 else 0.35
    shares = lean ** np.arange(len(names))
    classes = rng.choice(len(names), size=count, p=shares / shares.sum())
    low, high = np.array(list(SIZES.values())).T
    where = rng.random(count)
    while True:
        diameters = short * (low[classes] + where * (high - low)[classes])
        if (diameters**2).sum() <= _MAX_FILL * width * height or not classes.any():
            found = [place(diameters, width, height, rng) for _ in range(_LAYOUTS)]
            layouts = [places for places in found if places is not None]
            if layouts:
                best = min(layouts, key=unclear)
                return [names[index] for index in classes], diameters, best
        if classes.any():  # where all are small already, only the places are drawn again
            classes[classes.argmax()] -= 1
