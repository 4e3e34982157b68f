"""A scene as data: its objects, how they lie to each other, and the captions that are true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from perceptiondlm_ros.development.scenes.vocabulary import Attributes, compose_caption

NEAREST_TOLERANCE: Final = 0.15
"""An object whose distance exceeds the nearest one's by up to this fraction may be named too."""

DIRECTION_TOLERANCE: Final = 0.25
"""Offsets along x and y that differ by up to this fraction of the larger allow both directions."""


@dataclass(frozen=True)
class SceneObject:
    """One object: `centre` and `diameter` are the middle and the longer side of its box, in px.

    `angle` is in radians, clockwise as seen in the image.
    """

    track_id: int
    size: str
    pattern: str
    colour: str
    shape: str
    centre: tuple[float, float]
    diameter: float
    angle: float

    @property
    def attributes(self) -> Attributes:
        """The four words that describe the object."""
        return Attributes(self.size, self.pattern, self.colour, self.shape)


@dataclass(frozen=True)
class Scene:
    """An image to be drawn, `width` by `height` px, `objects` from back to front.

    `background_seed` settles background and light, `noise_seed` the sensor's noise.
    """

    width: int
    height: int
    objects: tuple[SceneObject, ...]
    background_seed: int
    noise_seed: int


def captions(scene: Scene) -> list[tuple[str, ...]]:
    """Return the acceptable captions of each object, in the scene's order, the canonical first.

    The neighbour is the object with the nearest centre, the relation follows the axis of the
    larger offset. Near ties make more than one caption right.
    """
    return [_captions_of(index, scene.objects) for index in range(len(scene.objects))]


def _captions_of(index: int, objects: tuple[SceneObject, ...]) -> tuple[str, ...]:
    subject = objects[index]
    others = [
        (math.dist(subject.centre, other.centre), other)
        for position, other in enumerate(objects)
        if position != index
    ]
    if not others:
        return (compose_caption(subject.attributes),)
    others.sort(key=lambda pair: pair[0])
    reach = others[0][0] * (1 + NEAREST_TOLERANCE)
    texts = [
        compose_caption(subject.attributes, relation, other.attributes)
        for distance, other in others
        if distance <= reach
        for relation in _relations(subject, other)
    ]
    return tuple(dict.fromkeys(texts))  # equal objects can give equal captions


def _relations(subject: SceneObject, other: SceneObject) -> tuple[str, ...]:
    """Return where `subject` lies as seen from `other`, the clearer direction first."""
    dx = subject.centre[0] - other.centre[0]
    dy = subject.centre[1] - other.centre[1]
    horizontal = "left of" if dx < 0 else "right of"
    vertical = "above" if dy < 0 else "below"
    first, second = (horizontal, vertical) if abs(dx) >= abs(dy) else (vertical, horizontal)
    smaller, larger = sorted((abs(dx), abs(dy)))
    return (first, second) if smaller >= larger * (1 - DIRECTION_TOLERANCE) else (first,)
