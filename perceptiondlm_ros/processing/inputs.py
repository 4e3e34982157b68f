"""From an image and region masks to the model's inputs, regions grouped by the model's slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, ModelInputs
from perceptiondlm_ros.processing.regions import order_by_area, patch_mask, roi_matrix
from perceptiondlm_ros.processing.sequence import SequenceShape, build_sequence
from perceptiondlm_ros.processing.tiles import Grid, choose_grid, image_tiles, tile_count
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer


def group_regions(masks: Sequence[BoolArray], slots: int) -> list[list[int]]:
    """Indices of the masks in groups of at most `slots`, of even size, largest area first.

    Regions are dealt to the groups in turn, so that every group holds large and small ones.
    """
    order = order_by_area(masks)
    count = -(-len(order) // slots)
    return [order[first::count] for first in range(count)]


def prepare_inputs(
    image: np.ndarray,
    groups: Sequence[Sequence[BoolArray]],
    *,
    config: ModelConfig,
    tokenizer: CaptionTokenizer,
    prompt: str,
    caption_tokens: int,
) -> ModelInputs:
    """Everything that a backend needs for one image.

    Args:
        image: uint8 [H, W, 3] RGB.
        groups: masks bool [H, W] of each group's regions, largest first; not empty, and no group
            larger than the model's slots.
        prompt: the user's words.
        caption_tokens: M.

    Raises:
        InputError: the prompt contains a special token.
    """
    height, width = image.shape[:2]
    grid = choose_grid(width, height, config)
    slots = max(len(group) for group in groups)
    matrices = [[roi_matrix(mask, grid, config) for mask in group] for group in groups]
    shape = SequenceShape(
        image_tokens=tile_count(grid) * config.tokens_per_tile,
        roi_tokens=len(matrices[0][0]),
        caption_tokens=caption_tokens,
        slots=slots,
        prompt=prompt,
    )
    built = [build_sequence(tokenizer, shape, len(group)) for group in groups]
    real = np.stack([flags for _, flags, _ in built])
    return ModelInputs(
        tiles=image_tiles(image, grid, config.tile_size),
        patch_masks=np.stack([_patch_masks(group, slots, grid, config) for group in groups]),
        roi_matrix=np.stack([_padded(group, slots) for group in matrices]),
        token_ids=np.stack([ids for ids, _, _ in built]),
        position_ids=np.maximum(np.cumsum(real, axis=1) - 1, 0),
        real=real,
        regions=tuple(len(group) for group in groups),
        layout=built[0][2],
    )


def _patch_masks(
    group: Sequence[BoolArray], slots: int, grid: Grid, config: ModelConfig
) -> BoolArray:
    return _padded([patch_mask(mask, i, grid, config) for i, mask in enumerate(group)], slots)


def _padded(arrays: Sequence[np.ndarray], slots: int) -> np.ndarray:
    """Stack, with zeros for the places of missing regions."""
    stacked = np.stack(arrays)
    missing = np.zeros((slots - len(stacked), *stacked.shape[1:]), dtype=stacked.dtype)
    return np.concatenate((stacked, missing))
