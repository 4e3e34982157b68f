"""The images and regions to measure with: the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.tiles import choose_grid, tile_count

_CAMERAS = ((640, 480), (1280, 720), (480, 480))
"""Usual image sizes, width and height; they are tried before made-up ones."""

_USUAL_TILES = (1, 3, 7)


@dataclass(frozen=True, order=True)
class Scenario:
    """What one measurement is of.

    Attributes:
        tiles: tiles that the image is cut into, the thumbnail included.
        regions: regions that are captioned in one call.
    """

    tiles: int
    regions: int


def image_sizes(config: ModelConfig) -> dict[int, tuple[int, int]]:
    """For each number of tiles that this checkpoint cuts images into: width and height of one."""
    side = config.tile_size
    made_up = [
        (columns * side, rows * side)
        for columns in range(config.max_tiles, 0, -1)
        for rows in range(1, config.max_tiles // columns + 1)
    ]
    sizes: dict[int, tuple[int, int]] = {}
    for size in (*_CAMERAS, *made_up):
        sizes.setdefault(tile_count(choose_grid(*size, config)), size)
    return sizes


def choose_tiles(asked: tuple[int, ...] | None, config: ModelConfig) -> tuple[int, ...]:
    """Those that were asked for, or the usual ones that the checkpoint cuts images into.

    Raises:
        InputError: the checkpoint cuts no image into a number that was asked for.
    """
    possible = image_sizes(config)
    for tiles in asked or ():
        if tiles not in possible:
            raise InputError(
                f"tiles is {tiles}, expected one of {', '.join(map(str, sorted(possible)))}: this "
                "checkpoint cuts no image into another number"
            )
    return asked or tuple(tiles for tiles in _USUAL_TILES if tiles in possible)


def noise_image(tiles: int, config: ModelConfig) -> NDArray[np.uint8]:
    """Noise that this checkpoint cuts into so many tiles, uint8 [H, W, 3]."""
    width, height = image_sizes(config)[tiles]
    shape = (height, width, 3)
    return np.random.default_rng(tiles).integers(0, 256, shape, dtype=np.uint8)


def random_boxes(regions: int, image: NDArray[np.uint8]) -> list[tuple[float, float, float, float]]:
    """Boxes of a fifth to a half of each side, anywhere in the image, overlaps included."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(regions)
    sides = rng.uniform(0.2, 0.5, (regions, 2))
    corners = rng.uniform(0.0, 1.0 - sides)
    scale = np.array([width, height, width, height])
    return [
        (x0, y0, x1, y1)
        for x0, y0, x1, y1 in (np.concatenate((corners, corners + sides), axis=1) * scale).tolist()
    ]
