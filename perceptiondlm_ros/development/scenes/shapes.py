"""Outlines of the shapes and coverage masks of their patterns, for one object at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

Points = NDArray[np.float64]
"""[N, 2], x to the right and y down."""

# Pattern measures as fractions of the diameter: at the 28 px of a small object in an image of
# 192 px a stripe is 5 px wide, a dot 5 px across and a cell 5 px square.
_STRIPE_PERIOD: Final = 0.36
_STRIPE_WIDTH: Final = 0.17
_DOT_PITCH: Final = 0.29
_DOT_RADIUS: Final = 0.09
_CELL: Final = 0.19


def _arc(radius: float, start: float, end: float, steps: int) -> Points:
    t = np.linspace(start, end, steps)
    return radius * np.stack([np.cos(t), np.sin(t)], axis=1)


def _star() -> Points:
    turns = np.arange(10) * math.pi / 5 - math.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.54)
    return np.stack([radius * np.cos(turns), radius * np.sin(turns)], axis=1)


def _cross() -> Points:
    arm, end = 0.38, 1.0
    quarter = np.array([(arm, -end), (arm, -arm), (end, -arm)])
    turn = np.array([(0.0, 1.0), (-1.0, 0.0)])  # a quarter turn, on row vectors
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _heart() -> Points:
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1)


def _crescent() -> Points:
    """A disc of radius 1 less one of radius 0.75 whose centre lies 0.6 to the right."""
    offset, radius = 0.6, 0.75
    x = (1 - radius**2 + offset**2) / (2 * offset)
    outer = math.acos(x)
    inner = math.acos((x - offset) / radius)
    bite = _arc(radius, 2 * math.pi - inner, inner, 24) + (offset, 0)
    return np.concatenate([_arc(1, outer, 2 * math.pi - outer, 40), bite])


_OUTLINES: Final[Mapping[str, Points]] = MappingProxyType(
    {
        "circle": _arc(1, 0, 2 * math.pi, 49)[:-1],
        "square": np.array([(-1.0, -1.0), (1, -1), (1, 1), (-1, 1)]),
        "triangle": np.array([(0, -0.9), (1, 0.9), (-1, 0.9)]),
        "star": _star(),
        "cross": _cross(),
        "heart": _heart(),
        "diamond": np.array([(0, -1), (0.72, 0), (0, 1), (-0.72, 0)]),
        "crescent": _crescent(),
    }
)


def _rotation(angle: float) -> Points:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([(cos, sin), (-sin, cos)])


def outline(shape: str, angle: float) -> Points:
    """Return the turned shape's corners, its box centred on 0 with a longer side of 1."""
    points = _OUTLINES[shape] @ _rotation(angle)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled: Points = (points - (low + high) / 2) / (high - low).max()
    return scaled


def draw_pattern(
    draw: ImageDraw.ImageDraw, pattern: str, angle: float, centre: Points, diameter: float
) -> None:
    """Paint 255 wherever the second colour of `pattern` goes; measures in px of `draw`."""
    if pattern == "striped":
        stripes = np.arange(-2, 3) * _STRIPE_PERIOD
        half = np.array([(-1, -0.5), (1, -0.5), (1, 0.5), (-1, 0.5)]) * (1, _STRIPE_WIDTH)
        corners = half[None] + np.stack([0 * stripes, stripes], axis=1)[:, None]
        turned = corners @ _rotation(angle + math.pi / 4)
        _draw_polygons(draw, turned * diameter + centre)
    elif pattern == "dotted":
        steps = np.arange(-2, 3) * _DOT_PITCH
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        radius = _DOT_RADIUS * diameter
        for x, y in (grid @ _rotation(angle) * diameter + centre).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    elif pattern == "checkered":
        cells = np.array([(x, y) for x in range(-3, 3) for y in range(-3, 3) if (x + y) % 2 == 0])
        unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
        corners = (cells[:, None] + unit[None]) * _CELL
        _draw_polygons(draw, corners @ _rotation(angle) * diameter + centre)


def _draw_polygons(draw: ImageDraw.ImageDraw, polygons: Points) -> None:
    for corners in polygons.reshape(len(polygons), -1).tolist():
        draw.polygon(corners, fill=255)
