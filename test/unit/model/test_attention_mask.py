"""Structured attention: what each kind of row sees, on a sequence that a tokenizer really made."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_checkpoint import tiny_tokenizer

from perceptiondlm_ros.model.attention_mask import allowed_attention
from perceptiondlm_ros.model.contract import BoolArray, IntArray, SequenceLayout
from perceptiondlm_ros.processing.sequence import SequenceShape, build_sequence

SHAPE = SequenceShape(
    image_tokens=8, image_places=8, roi_tokens=3, caption_tokens=4, slots=3, prompt="what?"
)


def sequence(regions: int = 3) -> tuple[IntArray, BoolArray, SequenceLayout]:
    return build_sequence(tiny_tokenizer(), SHAPE, regions)


def allowed(regions: int = 3, prefix_sees_captions: bool = True) -> BoolArray:
    _, real, layout = sequence(regions)
    return allowed_attention(layout, real, prefix_sees_captions=prefix_sees_captions)


def blocks(layout: SequenceLayout) -> list[range]:
    ends = (*layout.block_starts[1:], layout.length)
    return [range(start, end) for start, end in zip(layout.block_starts, ends, strict=True)]


def test_prefix_rows_see_everything_captions_included_as_published() -> None:
    layout = sequence()[2]
    assert allowed()[: layout.captions_start].all()


def test_prefix_rows_of_our_own_kind_see_the_prefix_alone() -> None:
    layout = sequence()[2]
    prefix = allowed(prefix_sees_captions=False)[: layout.captions_start]
    assert prefix[:, : layout.captions_start].all()
    assert not prefix[:, layout.captions_start :].any()


def test_what_captions_see_does_not_depend_on_what_the_prefix_sees() -> None:
    start = sequence()[2].captions_start
    np.testing.assert_array_equal(
        allowed(prefix_sees_captions=True)[start:], allowed(prefix_sees_captions=False)[start:]
    )


def test_captions_see_no_other_caption() -> None:
    matrix, layout = allowed(), sequence()[2]
    for block in blocks(layout):
        for other in blocks(layout):
            assert matrix[np.ix_(block, other)].all() == (block == other)
            assert matrix[np.ix_(block, other)].any() == (block == other)


def test_captions_see_their_own_roi_tokens_alone() -> None:
    matrix, layout = allowed(), sequence()[2]
    for i, block in enumerate(blocks(layout)):
        for j, roi in enumerate(layout.roi_positions):
            seen = matrix[np.ix_(block, roi)]
            assert seen.all() if i == j else not seen.any()


def test_captions_see_all_before_the_regions_and_the_prompt_after_them() -> None:
    matrix, layout = allowed(), sequence()[2]
    after_regions = layout.roi_starts[-1] + layout.roi_tokens
    for block in blocks(layout):
        assert matrix[block, : layout.roi_starts[0]].all()
        assert matrix[block, after_regions : layout.captions_start].all()


def test_captions_do_not_see_the_line_breaks_between_roi_spans() -> None:
    ids, _, layout = sequence()
    breaks = [start - 1 for start in layout.roi_starts[1:]]
    assert (ids[breaks] == tiny_tokenizer().newline_id).all()
    assert not allowed()[layout.captions_start :, breaks].any()


def test_the_last_block_goes_to_the_end() -> None:
    ids, _, layout = sequence()
    last = layout.block_starts[-1]
    end_of_turn = layout.length - 1
    assert ids[end_of_turn] == tiny_tokenizer().end_of_turn_id
    matrix = allowed()
    assert matrix[last:, end_of_turn].all(), "the last caption sees the closing token"
    assert not matrix[layout.captions_start : last, end_of_turn].any()
    np.testing.assert_array_equal(matrix[end_of_turn], matrix[last])


@pytest.mark.parametrize("prefix_sees_captions", [True, False])
@pytest.mark.parametrize("regions", [1, 2])
def test_padding_is_seen_by_nobody_and_leaves_no_row_empty(
    regions: int, prefix_sees_captions: bool
) -> None:
    real = sequence(regions)[1]
    matrix = allowed(regions, prefix_sees_captions)
    assert not matrix[:, ~real].any()
    assert matrix.any(axis=1).all()


@pytest.mark.parametrize("prefix_sees_captions", [True, False])
@pytest.mark.parametrize("regions", [1, 2])
def test_a_padded_group_attends_as_it_would_alone(regions: int, prefix_sees_captions: bool) -> None:
    real = sequence(regions)[1]
    shape = SequenceShape(**{**vars(SHAPE), "slots": regions})
    alone_ids, alone_real, layout = build_sequence(tiny_tokenizer(), shape, regions)
    alone = allowed_attention(layout, alone_real, prefix_sees_captions=prefix_sees_captions)
    padded = allowed(regions, prefix_sees_captions)
    np.testing.assert_array_equal(sequence(regions)[0][real], alone_ids)
    np.testing.assert_array_equal(padded[np.ix_(real, real)], alone)
