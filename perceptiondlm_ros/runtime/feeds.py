"""From a model's inputs to the arrays of one denoising step, the same for every backend.

Names, dtypes and shapes are those of `model.contract`.
"""

from __future__ import annotations

import numpy as np

from perceptiondlm_ros.model.attention_mask import attention_classes
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import (
    DENOISER,
    VISION_ENCODER,
    BoolArray,
    IntArray,
    ModelInputs,
)
from perceptiondlm_ros.runtime.denoising import tokens_to_mask

Feed = dict[str, np.ndarray]
"""Arrays by the names of a graph's inputs."""


def vision_feed(inputs: ModelInputs) -> Feed:
    """What the vision encoder takes."""
    masks = inputs.patch_masks.reshape(*inputs.patch_masks.shape[:3], -1)
    return VISION_ENCODER.feed(
        "image",
        {"tiles": inputs.tiles, "patch_masks": masks, "roi_matrix": inputs.roi_matrix},
    )


def all_rows(inputs: ModelInputs, config: ModelConfig, past: int) -> Feed:
    """All rows of the sequence, after `past` columns that nobody may attend to."""
    kinds, columns = _classes(inputs, config)
    nobody = np.zeros((*columns.shape[:2], past), dtype=np.bool_)
    return _rows(inputs, 0, kinds, np.concatenate((nobody, columns), axis=2))


def caption_rows_alone(inputs: ModelInputs, config: ModelConfig, past: int) -> Feed:
    """The rows from the first caption marker on, after a past of the first `past` rows.

    The past may reach over the captions, whose columns in it are out of date and seen by nobody.
    """
    start = inputs.layout.captions_start
    kinds, columns = _classes(inputs, config)
    outdated = np.zeros((*columns.shape[:2], past - start), dtype=np.bool_)
    parts = (columns[:, :, :start], outdated, columns[:, :, start:])
    return _rows(inputs, start, kinds, np.concatenate(parts, axis=2))


def first_state(inputs: ModelInputs, steps: int, threshold: float | None) -> Feed:
    """The state and the pass: all caption positions masked, and the schedule of up to `steps`
    denoising steps.

    The schedule is cut after the step that leaves nothing to mask.
    """
    groups, tokens = len(inputs.regions), inputs.layout.caption_tokens
    shape = (groups, inputs.layout.slots * tokens)
    state = {
        "caption_ids": np.full(shape, inputs.mask_id),
        "masked": np.ones(shape),
        "confidence": np.zeros(shape),
        "step": np.zeros(groups),
    }
    of_pass = {
        "active": np.repeat(inputs.active, tokens, axis=1),
        "schedule": remasking_schedule(inputs.regions, tokens, steps),
        "threshold": np.array([np.inf if threshold is None else threshold]),
    }
    return {**DENOISER.feed("state", state), **DENOISER.feed("pass", of_pass)}


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


def _rows(inputs: ModelInputs, start: int, kinds: IntArray, columns: BoolArray) -> Feed:
    layout = inputs.layout
    return DENOISER.feed(
        "rows",
        {
            "token_ids": inputs.token_ids[:, start:],
            "visual_index": layout.visual_index[start:],
            "caption_index": layout.caption_index[start:],
            "caption_rows": layout.caption_positions.reshape(-1) - start,
            "position_ids": inputs.position_ids[:, start:],
            "row_class": kinds[:, start:],
            "class_columns": columns,
        },
    )
