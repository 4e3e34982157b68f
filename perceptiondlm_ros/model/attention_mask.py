"""Structured attention: which row of the sequence may attend to which column.

A caption sees the image, the prompt, its own RoI tokens and itself, but no other caption. That is
what lets all captions be denoised in one pass.
"""

from __future__ import annotations

import numpy as np

from perceptiondlm_ros.model.contract import BoolArray, SequenceLayout


def allowed_attention(
    layout: SequenceLayout, real: BoolArray, *, prefix_sees_captions: bool
) -> BoolArray:
    """Attention of one group.

    Args:
        layout: places in the sequence.
        real: bool [L]; columns that are padding are seen by nobody. Padded rows see all real
            columns, so that no row is empty.
        prefix_sees_captions: False keeps rows before the captions from attending to them.

    Returns:
        bool [L, L], True where the row may attend to the column.
    """
    start = layout.captions_start
    allowed = np.zeros((layout.length, layout.length), dtype=np.bool_)
    allowed[:start] = True
    if not prefix_sees_captions:
        allowed[:start, start:] = False
    ends = (*layout.block_starts[1:], layout.length)
    for block, end, roi in zip(layout.block_starts, ends, layout.roi_starts, strict=True):
        rows = allowed[block:end]
        rows[:, : layout.roi_starts[0]] = True
        rows[:, layout.prompt_start : start] = True
        rows[:, roi : roi + layout.roi_tokens] = True
        rows[:, block:end] = True
    allowed[~real] = True
    return allowed & real[None, :]
