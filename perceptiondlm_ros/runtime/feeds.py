"""From a model's inputs to the arrays of one denoising step, the same for every backend.

Shapes: Q query rows, P past rows, J = N*M caption positions, A = N + 2 kinds of rows; the others
are those of `contract`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perceptiondlm_ros.model.attention_mask import attention_classes
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, FloatArray, IntArray, ModelInputs
from perceptiondlm_ros.runtime.denoising import tokens_to_mask


@dataclass(frozen=True)
class RowsFeed:
    """The query rows of a step; see `model.denoiser.QueryRows` and `model.attention_mask` for what
    they mean.

    Attributes:
        token_ids: int64 [B, Q].
        visual_index: int64 [Q].
        caption_index: int64 [Q].
        caption_rows: int64 [J].
        position_ids: int64 [B, Q].
        row_class: int64 [B, Q].
        class_columns: bool [B, A, P+Q].
    """

    token_ids: IntArray
    visual_index: IntArray
    caption_index: IntArray
    caption_rows: IntArray
    position_ids: IntArray
    row_class: IntArray
    class_columns: BoolArray


@dataclass(frozen=True)
class StateFeed:
    """What a pass starts from; see `model.denoiser.CaptionState`.

    Attributes:
        caption_ids: int64 [B, J], all masks.
        masked: bool [B, J], all true.
        confidence: float32 [B, J], zeros.
        active: bool [B, J].
        schedule: int64 [B, S].
        step: int64 [1], zero.
    """

    caption_ids: IntArray
    masked: BoolArray
    confidence: FloatArray
    active: BoolArray
    schedule: IntArray
    step: IntArray


@dataclass(frozen=True)
class VisionFeed:
    """What the vision encoder takes.

    Attributes:
        tiles: float32 [T, 3, S, S].
        patch_masks: bool [B, N, T, P*P].
        roi_matrix: float32 [B, N, R, T*C].
    """

    tiles: FloatArray
    patch_masks: BoolArray
    roi_matrix: FloatArray


def vision_feed(inputs: ModelInputs) -> VisionFeed:
    """What the vision encoder takes."""
    masks = inputs.patch_masks.reshape(*inputs.patch_masks.shape[:3], -1)
    return VisionFeed(inputs.tiles, masks, inputs.roi_matrix)


def whole_rows(inputs: ModelInputs, config: ModelConfig, past: int) -> RowsFeed:
    """All rows of the sequence, after `past` columns that nobody may attend to."""
    kinds, columns = _classes(inputs, config)
    nobody = np.zeros((*columns.shape[:2], past), dtype=np.bool_)
    return _rows(inputs, 0, kinds, np.concatenate((nobody, columns), axis=2))


def caption_rows(inputs: ModelInputs, config: ModelConfig, past: int) -> RowsFeed:
    """The rows from the first caption marker on, after a past of the first `past` rows.

    The past may reach over the captions, whose columns in it are out of date and seen by nobody.
    """
    start = inputs.layout.captions_start
    kinds, columns = _classes(inputs, config)
    outdated = np.zeros((*columns.shape[:2], past - start), dtype=np.bool_)
    parts = (columns[:, :, :start], outdated, columns[:, :, start:])
    return _rows(inputs, start, kinds, np.concatenate(parts, axis=2))


def first_state(inputs: ModelInputs, steps: int) -> StateFeed:
    """All caption positions masked, and the schedule of up to `steps` denoising steps.

    A schedule is cut after the step that leaves nothing to mask.
    """
    shape = (len(inputs.regions), inputs.layout.slots * inputs.layout.caption_tokens)
    return StateFeed(
        caption_ids=np.full(shape, inputs.mask_id, dtype=np.int64),
        masked=np.ones(shape, dtype=np.bool_),
        confidence=np.zeros(shape, dtype=np.float32),
        active=np.repeat(inputs.active, inputs.layout.caption_tokens, axis=1),
        schedule=remasking_schedule(inputs.regions, inputs.layout.caption_tokens, steps),
        step=np.zeros(1, dtype=np.int64),
    )


def remasking_schedule(regions: tuple[int, ...], caption_tokens: int, steps: int) -> IntArray:
    """int64 [B, S]: how many positions of each group are masked again after each step."""
    counts = np.array(
        [
            [tokens_to_mask(count * caption_tokens, step, steps) for step in range(steps)]
            for count in regions
        ],
        dtype=np.int64,
    )
    needed = int(np.flatnonzero(counts.max(axis=0) == 0)[0]) + 1
    return counts[:, :needed]


def _classes(inputs: ModelInputs, config: ModelConfig) -> tuple[IntArray, BoolArray]:
    """int64 [B, L] and bool [B, A, L]."""
    groups = [
        attention_classes(inputs.layout, real, prefix_sees_captions=config.prefix_sees_captions)
        for real in inputs.real
    ]
    return np.stack([kinds for kinds, _ in groups]), np.stack([columns for _, columns in groups])


def _rows(inputs: ModelInputs, start: int, kinds: IntArray, columns: BoolArray) -> RowsFeed:
    layout = inputs.layout
    return RowsFeed(
        token_ids=np.ascontiguousarray(inputs.token_ids[:, start:]),
        visual_index=layout.visual_index[start:],
        caption_index=layout.caption_index[start:],
        caption_rows=layout.caption_positions.reshape(-1) - start,
        position_ids=np.ascontiguousarray(inputs.position_ids[:, start:]),
        row_class=np.ascontiguousarray(kinds[:, start:]),
        class_columns=columns,
    )
