"""Structured attention: which row of the sequence may attend to which column.

A caption sees the image, the prompt, its own RoI tokens and itself, but no other caption. That is
what lets all captions be denoised in one pass. So there are few kinds of rows: A = N + 2.
"""

from __future__ import annotations

import numpy as np

from perceptiondlm_ros.model.contract import BoolArray, IntArray, SequenceLayout


def attention_classes(
    layout: SequenceLayout, real: BoolArray, *, prefix_sees_captions: bool
) -> tuple[IntArray, BoolArray]:
    """Attention of one group: the kind of each row, and the columns that each kind may attend to.

    Args:
        layout: places in the sequence.
        real: bool [L]; columns that are padding are seen by nobody. Padded rows see all real
            columns, so that no row is empty.
        prefix_sees_captions: False keeps rows before the captions from attending to them.

    Returns:
        int64 [L] and bool [A, L]: kind 0 is the prefix, 1 to N are the caption blocks, N + 1 is
        padding.
    """
    start, slots = layout.captions_start, layout.slots
    kinds = np.zeros(layout.length, dtype=np.int64)
    columns = np.zeros((slots + 2, layout.length), dtype=np.bool_)
    columns[0, : layout.length if prefix_sees_captions else start] = True
    ends = (*layout.block_starts[1:], layout.length)
    for slot, (block, end) in enumerate(zip(layout.block_starts, ends, strict=True), start=1):
        kinds[block:end] = slot
        roi = layout.roi_starts[slot - 1]
        columns[slot, : layout.roi_starts[0]] = True
        columns[slot, layout.prompt_start : start] = True
        columns[slot, roi : roi + layout.roi_tokens] = True
        columns[slot, block:end] = True
    kinds[~real] = slots + 1
    columns[slots + 1] = True
    return kinds, columns & real


def allowed_attention(
    layout: SequenceLayout, real: BoolArray, *, prefix_sees_captions: bool
) -> BoolArray:
    """As `attention_classes`, written out: bool [L, L], True where the row may attend to the
    column."""
    kinds, columns = attention_classes(layout, real, prefix_sees_captions=prefix_sees_captions)
    allowed: BoolArray = columns[kinds]
    return allowed
