"""An image becomes square tiles on a grid that fits its shape, and a thumbnail of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import FloatArray

Grid = tuple[int, int]
"""Columns and rows of the tile grid."""

_LEVELS = ((np.arange(256) / 255.0).astype(np.float32) - np.float32(0.5)) / np.float32(0.5)
"""The value in [-1, 1] of each of 8 bits."""


def choose_grid(width: int, height: int, config: ModelConfig) -> Grid:
    """The grid whose columns/rows is closest to width/height.

    On a tie the finer grid wins when the image has more than half of its pixels, as published.

    Args:
        width, height: the image's, in pixels.
        config: gives the tile size and the limits of columns x rows.
    """
    best, best_distance = (1, 1), float("inf")
    for columns, rows in _grids(config.min_tiles, config.max_tiles):
        distance = abs(width / height - columns / rows)
        enough = width * height > 0.5 * config.tile_size**2 * columns * rows
        if distance < best_distance or (distance == best_distance and enough):
            best, best_distance = (columns, rows), distance
    return best


def tile_count(grid: Grid) -> int:
    """Tiles of a grid, the thumbnail included when there is one."""
    tiles = grid[0] * grid[1]
    return tiles + 1 if tiles > 1 else tiles


def cut(image: Image.Image, grid: Grid, size: int) -> Iterator[Image.Image]:
    """Resize (bicubic) to the grid, cut row by row, and close with the thumbnail if any."""
    columns, rows = grid
    whole = image.resize((columns * size, rows * size))
    for row in range(rows):
        for column in range(columns):
            x, y = column * size, row * size
            yield whole.crop((x, y, x + size, y + size))
    if columns * rows > 1:
        yield image.resize((size, size))


def image_tiles(image: np.ndarray, grid: Grid, size: int, count: int = 0) -> FloatArray:
    """uint8 [H, W, 3] RGB to float32 [T, 3, S, S] in [-1, 1], with zeros behind up to `count`."""
    tiles = np.zeros((max(count, tile_count(grid)), 3, size, size), dtype=np.float32)
    for place, tile in zip(tiles, cut(Image.fromarray(image), grid, size), strict=False):
        np.take(_LEVELS, np.asarray(tile).transpose(2, 0, 1), out=place, mode="clip")
    return tiles


def _grids(least: int, most: int) -> list[Grid]:
    grids = [
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most + 1)
        if least <= columns * rows <= most
    ]
    return sorted(grids, key=lambda grid: grid[0] * grid[1])
