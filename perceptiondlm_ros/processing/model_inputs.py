"""From an image and region masks to the model's inputs, regions grouped by the model's slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, Buckets, ModelInputs
from perceptiondlm_ros.processing.region_tensors import order_by_area, patch_mask, roi_matrix
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
    buckets: Buckets | None = None,
) -> ModelInputs:
    """Everything that a backend needs for one image.

    Args:
        image: uint8 [H, W, 3] RGB.
        groups: masks bool [H, W] of each group's regions, largest first; not empty, and no group
            larger than the model's slots.
        prompt: the user's words.
        caption_tokens: M.
        buckets: sizes to pad tiles and slots up to; None pads slots to the largest group only.
            What is padded is seen by nobody and changes nothing.

    Raises:
        InputError: the prompt contains a special token.
    """
    height, width = image.shape[:2]
    grid = choose_grid(width, height, config)
    own_tiles, own_slots = tile_count(grid), max(len(group) for group in groups)
    tiles = _padded_size(own_tiles, buckets.tiles if buckets else ())
    slots = _padded_size(own_slots, buckets.slots if buckets else ())
    matrices = [[roi_matrix(mask, grid, config) for mask in group] for group in groups]
    shape = SequenceShape(
        image_tokens=own_tiles * config.tokens_per_tile,
        image_places=tiles * config.tokens_per_tile,
        roi_tokens=len(matrices[0][0]),
        caption_tokens=caption_tokens,
        slots=slots,
        prompt=prompt,
    )
    built = [build_sequence(tokenizer, shape, len(group)) for group in groups]
    real = np.stack([flags for _, flags, _ in built])
    return ModelInputs(
        tiles=_padded(image_tiles(image, grid, config.tile_size), (tiles,)),
        patch_masks=_padded(
            [_padded(_patch_masks(group, grid, config), (slots, tiles)) for group in groups]
        ),
        roi_matrix=_padded(
            [_padded(group, (slots, shape.roi_tokens, shape.image_places)) for group in matrices]
        ),
        token_ids=np.stack([ids for ids, _, _ in built]),
        position_ids=np.maximum(np.cumsum(real, axis=1) - 1, 0),
        real=real,
        regions=tuple(len(group) for group in groups),
        layout=built[0][2],
        mask_id=tokenizer.mask_id,
    )


def _padded_size(size: int, buckets: tuple[int, ...]) -> int:
    """The next bucket, or the size itself where there is none: then the backend has to say no."""
    return min((bucket for bucket in buckets if bucket >= size), default=size)


def _patch_masks(group: Sequence[BoolArray], grid: Grid, config: ModelConfig) -> list[BoolArray]:
    return [patch_mask(mask, slot, grid, config) for slot, mask in enumerate(group)]


def _padded(arrays: Sequence[np.ndarray] | np.ndarray, sizes: tuple[int, ...] = ()) -> np.ndarray:
    """Stack, with zeros behind up to these sizes of the first axes."""
    stacked = np.asarray(arrays)
    missing = [(0, size - own) for size, own in zip(sizes, stacked.shape, strict=False)]
    missing += [(0, 0)] * (stacked.ndim - len(missing))
    return np.pad(stacked, missing) if any(after for _, after in missing) else stacked
