"""Regions as the model sees them: ordered by area, as active patches, and as a RoI matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, FloatArray
from perceptiondlm_ros.pixel_boxes import box_around
from perceptiondlm_ros.processing.tiles import Grid, cut, tile_count

_FEATURE_STRIDE = 32
"""Pixels a feature cell, written as a number in the published code (patch 16 times shuffle 2)."""

_OUTSIDE = 255
"""Value of pixels outside the region in the image that is drawn for each slot."""


def order_by_area(masks: Sequence[BoolArray]) -> list[int]:
    """Indices of the masks, largest area first; of equal ones the later first, as published."""
    areas = np.array([np.count_nonzero(mask) for mask in masks])
    return [int(index) for index in np.argsort(areas, kind="stable")[::-1]]


def patch_mask(mask: BoolArray, slot: int, grid: Grid, config: ModelConfig) -> BoolArray:
    """Patches that carry the mask-id embedding of a region.

    The region is drawn with its slot number on 255 and resized like the image; a pixel counts when
    it is not 255 afterwards, so the pixels that the resize touched count too.

    Args:
        mask: bool [H, W].
        slot: the region's place in its group.

    Returns:
        bool [T, P, P].
    """
    drawn = Image.fromarray(np.where(mask, np.uint8(slot), np.uint8(_OUTSIDE)))
    step = config.vision.patch_size
    tiles = [np.asarray(tile)[::step, ::step] for tile in cut(drawn, grid, config.tile_size)]
    active: BoolArray = np.stack(tiles) != _OUTSIDE
    return active


def roi_matrix(mask: BoolArray, grid: Grid, config: ModelConfig) -> FloatArray:
    """RoIAlign of a region as a matrix over all visual tokens, float32 [R, T*C].

    RoIAlign (aligned, 2 x 2 samples a bin) is linear in the features and separable, so this and
    one matrix product replace it. The published weights were trained with two quirks that stay
    unless the checkpoint says `corrected_roi_replay`: the feature map leaves out the first tile
    and closes with the thumbnail, and the box is scaled down once more by the feature stride.

    Args:
        mask: bool [H, W] with at least one pixel.
    """
    height, width = mask.shape
    x0, y0, x1, y1 = box_around(mask)
    tokens = _feature_map(grid, config)
    map_rows, map_columns = tokens.shape
    out_rows, out_columns = config.roi_output_size or tokens.shape
    scale = 1.0 if config.corrected_roi_replay else 1.0 / _FEATURE_STRIDE
    vertical = (y0 / height * map_rows * scale, (y1 - 1) / height * map_rows * scale)
    horizontal = (x0 / width * map_columns * scale, (x1 - 1) / width * map_columns * scale)
    weights = np.kron(
        _align_weights(*vertical, map_rows, out_rows),
        _align_weights(*horizontal, map_columns, out_columns),
    )
    matrix = np.zeros((len(weights), tile_count(grid) * config.tokens_per_tile), dtype=np.float32)
    matrix[:, tokens.reshape(-1)] = weights
    return matrix


def _feature_map(grid: Grid, config: ModelConfig) -> np.ndarray:
    """Index of the visual token at each cell of the feature map, int64 [rows, columns]."""
    columns, rows = grid
    side = config.cells_per_side
    first = 0 if config.corrected_roi_replay or columns * rows == 1 else 1
    tiles = np.arange(first, first + columns * rows).reshape(rows, columns)
    cells = np.arange(side * side).reshape(side, side)
    by_tile = tiles[:, None, :, None] * (side * side) + cells[None, :, None, :]
    return by_tile.reshape(rows * side, columns * side)


def _align_weights(start: float, end: float, cells: int, bins: int) -> FloatArray:
    """Weights of RoIAlign along one axis, float32 [bins, cells].

    Rounded to fp32 where torchvision rounds, so that published checkpoints see the same numbers.
    """
    samples = np.float32(2)
    half = np.float32(0.5)
    origin = np.float32(start) - half
    size = (np.float32(end) - half - origin) / np.float32(bins)
    bin_index = np.repeat(np.arange(bins, dtype=np.float32), 2)
    sample = np.tile(np.arange(2, dtype=np.float32), bins)
    places = origin + bin_index * size + (sample + half) * size / samples
    inside = ((places >= -1) & (places <= cells)).astype(np.float32)
    places = np.maximum(places, np.float32(0))
    low = np.minimum(places.astype(np.int64), cells - 1)
    high = np.minimum(low + 1, cells - 1)
    share = np.where(low == cells - 1, np.float32(0), places - low.astype(np.float32))
    weights = np.zeros((2 * bins, cells), dtype=np.float32)
    index = np.arange(2 * bins)
    np.add.at(weights, (index, low), (np.float32(1) - share) * inside)
    np.add.at(weights, (index, high), share * inside)
    averaged: FloatArray = weights.reshape(bins, 2, cells).mean(axis=1)
    return averaged


def box_mask(box: tuple[float, float, float, float], height: int, width: int) -> BoolArray:
    """The pixels that a box touches, bool [H, W].

    Args:
        box: x0, y0, x1, y1 in pixels, the right and lower edge exclusive; may reach outside.
    """
    x0, y0, x1, y1 = box
    mask = np.zeros((height, width), dtype=np.bool_)
    columns = slice(max(0, int(np.floor(x0))), max(0, int(np.ceil(x1))))
    rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1))))
    mask[rows, columns] = True
    return mask
