"""From an image and its regions to the model's inputs, regions grouped by the model's slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, Buckets, ModelInputs
from perceptiondlm_ros.processing.patch_masks import patch_masks
from perceptiondlm_ros.processing.regions import Region, order_by_area
from perceptiondlm_ros.processing.roi_matrices import roi_matrices
from perceptiondlm_ros.processing.sequence import SequenceShape, build_sequence
from perceptiondlm_ros.processing.tiles import choose_grid, image_tiles, tile_count
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer


def group_regions(regions: Sequence[Region], slots: int) -> list[list[int]]:
    """Indices of the regions in groups of at most `slots`, of even size, largest area first.

    Regions are dealt to the groups in turn, so that every group holds large and small ones.
    """
    order = order_by_area(regions)
    count = -(-len(order) // slots)
    return [order[first::count] for first in range(count)]


def prepare_inputs(
    image: np.ndarray,
    groups: Sequence[Sequence[Region]],
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
        groups: regions of the image, largest first; not empty, and no group larger than the
            model's slots.
        prompt: the user's words.
        caption_tokens: M.
        buckets: sizes to pad tiles and slots up to; None pads slots to the largest group only.
            What is padded is seen by nobody and changes nothing.

    Raises:
        InputError: the prompt contains a special token.
    """
    size = image.shape[0], image.shape[1]
    grid = choose_grid(size[1], size[0], config)
    own_tiles, own_slots = tile_count(grid), max(len(group) for group in groups)
    tiles = _padded_size(own_tiles, buckets.tiles if buckets else ())
    slots = _padded_size(own_slots, buckets.slots if buckets else ())
    counts = tuple(len(group) for group in groups)
    active = np.arange(slots) < np.array(counts)[:, None]
    regions = [region for group in groups for region in group]
    matrices = roi_matrices(regions, size, grid, config)
    patches = patch_masks(regions, np.nonzero(active)[1].tolist(), size, grid, config)
    shape = SequenceShape(
        image_tokens=own_tiles * config.tokens_per_tile,
        image_places=tiles * config.tokens_per_tile,
        roi_tokens=matrices.shape[1],
        caption_tokens=caption_tokens,
        slots=slots,
        prompt=prompt,
    )
    built = {count: build_sequence(tokenizer, shape, count) for count in set(counts)}
    real = np.stack([built[count][1] for count in counts])
    return ModelInputs(
        tiles=image_tiles(image, grid, config.tile_size, tiles),
        patch_masks=_by_slot(patches, active, (tiles, *patches.shape[2:])),
        roi_matrix=_by_slot(matrices, active, (shape.roi_tokens, shape.image_places)),
        token_ids=np.stack([built[count][0] for count in counts]),
        position_ids=np.maximum(np.cumsum(real, axis=1) - 1, 0),
        real=real,
        regions=counts,
        layout=built[counts[0]][2],
        mask_id=tokenizer.mask_id,
    )


def _padded_size(size: int, buckets: tuple[int, ...]) -> int:
    """The next bucket, or the size itself where there is none: then the backend has to say no."""
    return min((bucket for bucket in buckets if bucket >= size), default=size)


def _by_slot(values: np.ndarray, active: BoolArray, shape: tuple[int, ...]) -> np.ndarray:
    """What each region has, [regions, X, Y, ...], in its group and slot, [B, N, *shape]; zeros
    where there is no region, and behind X and Y."""
    placed = np.zeros((*active.shape, *shape), values.dtype)
    placed[active, : values.shape[1], : values.shape[2]] = values
    return placed
