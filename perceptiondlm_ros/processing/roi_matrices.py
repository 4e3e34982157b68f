"""RoIAlign of regions as matrices over the visual tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import FloatArray
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.tiles import Grid, tile_count

_FEATURE_STRIDE = 32
"""Pixels a feature cell, written as a number in the published code (patch 16 times shuffle 2)."""


def roi_matrices(
    regions: Sequence[Region], size: tuple[int, int], grid: Grid, config: ModelConfig
) -> FloatArray:
    """RoIAlign of each region as a matrix over all visual tokens, float32 [regions, R, T*C].

    RoIAlign (aligned, 2 x 2 samples a bin) is linear in the features and separable, so this and
    one matrix product replace it. The published weights were trained with two quirks that stay
    unless the checkpoint says `corrected_roi_replay`: the feature map leaves out the first tile
    and closes with the thumbnail, and the box is scaled down once more by the feature stride.

    Args:
        regions: with at least one pixel each.
        size: height and width of the image.
    """
    height, width = size
    x0, y0, x1, y1 = np.array([region.box for region in regions], dtype=np.float64).T
    tokens = _feature_map(grid, config)
    map_rows, map_columns = tokens.shape
    out_rows, out_columns = config.roi_output_size or tokens.shape
    scale = 1.0 if config.corrected_roi_replay else 1.0 / _FEATURE_STRIDE
    vertical = (y0 / height * map_rows * scale, (y1 - 1) / height * map_rows * scale)
    horizontal = (x0 / width * map_columns * scale, (x1 - 1) / width * map_columns * scale)
    down = _align_weights(*vertical, map_rows, out_rows)
    across = _align_weights(*horizontal, map_columns, out_columns)
    weights = down[:, :, None, :, None] * across[:, None, :, None, :]
    shape = (len(regions), out_rows * out_columns, tile_count(grid) * config.tokens_per_tile)
    matrices = np.zeros(shape, dtype=np.float32)
    matrices[:, :, tokens.reshape(-1)] = weights.reshape(*shape[:2], -1)
    return matrices


def _feature_map(grid: Grid, config: ModelConfig) -> np.ndarray:
    """Index of the visual token at each cell of the feature map, int64 [rows, columns]."""
    columns, rows = grid
    side = config.cells_per_side
    first = 0 if config.corrected_roi_replay or columns * rows == 1 else 1
    tiles = np.arange(first, first + columns * rows).reshape(rows, columns)
    cells = np.arange(side * side).reshape(side, side)
    by_tile = tiles[:, None, :, None] * (side * side) + cells[None, :, None, :]
    return by_tile.reshape(rows * side, columns * side)


def _align_weights(start: np.ndarray, end: np.ndarray, cells: int, bins: int) -> FloatArray:
    """Weights of RoIAlign along one axis, float32 [regions, bins, cells].

    Rounded to fp32 where torchvision rounds, so that published checkpoints see the same numbers.
    """
    half, samples = np.float32(0.5), np.float32(2)
    origin = start.astype(np.float32)[:, None] - half
    size = (end.astype(np.float32)[:, None] - half - origin) / np.float32(bins)
    bin_index = np.repeat(np.arange(bins, dtype=np.float32), 2)
    sample = np.tile(np.arange(2, dtype=np.float32), bins)
    places = origin + bin_index * size + (sample + half) * size / samples
    inside = ((places >= -1) & (places <= cells)).astype(np.float32)
    places = np.maximum(places, np.float32(0))
    low = np.minimum(places.astype(np.int64), cells - 1)
    high = np.minimum(low + 1, cells - 1)
    share = np.where(low == cells - 1, np.float32(0), places - low.astype(np.float32))
    cell = np.arange(cells)
    weights = np.where(cell == low[..., None], ((1 - share) * inside)[..., None], np.float32(0))
    weights += np.where(cell == high[..., None], (share * inside)[..., None], np.float32(0))
    averaged: FloatArray = weights.reshape(-1, bins, 2, cells).mean(axis=2)
    return averaged
