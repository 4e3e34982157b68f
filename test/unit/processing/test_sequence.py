"""The sequence of a group, read back as text."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_checkpoint import tiny_tokenizer

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.processing.sequence import SequenceShape, build_sequence

SHAPE = SequenceShape(
    image_tokens=2, image_places=2, roi_tokens=2, caption_tokens=2, slots=2, prompt="What?"
)
EXPECTED = (
    "<|start_header_id|>system<|end_header_id|>\nYou are a helpful assistant.<|eot_id|>\n"
    "<|start_header_id|>user<|end_header_id|>\n<img><IMG_CONTEXT><IMG_CONTEXT></img>"
    "<|reserved_token_0|><|reserved_token_0|>\n<|reserved_token_1|><|reserved_token_1|>\nWhat?"
    "<|eot_id|>\n<|start_header_id|>assistant<|end_header_id|>\n"
    "<|Mask_Cap_0|><|mdm_mask|><|mdm_mask|>\n<|Mask_Cap_1|><|mdm_mask|><|mdm_mask|><|eot_id|>"
)


def test_the_text_is_the_published_one() -> None:
    ids, real, layout = build_sequence(tiny_tokenizer(), SHAPE, 2)
    assert ids.tolist() == tiny_tokenizer().encode(EXPECTED)
    assert ids.dtype == np.int64 and real.all() and layout.length == len(ids)


def test_the_layout_says_where_things_stand() -> None:
    tokenizer = tiny_tokenizer()
    ids, _, layout = build_sequence(tokenizer, SHAPE, 2)
    assert (ids[layout.image_positions] == tokenizer.image_id).all()
    for slot in range(2):
        assert (ids[layout.roi_positions[slot]] == tokenizer.region_ids[slot]).all()
        assert ids[layout.block_starts[slot]] == tokenizer.marker_ids[slot]
    assert (ids[layout.caption_positions] == tokenizer.mask_id).all()
    assert (ids == tokenizer.mask_id).sum() == layout.caption_positions.size
    assert ids[layout.prompt_start] == tokenizer.newline_id
    assert layout.captions_start == layout.block_starts[0] and layout.slots == 2


@pytest.mark.parametrize("regions", [1, 2, 3])
def test_a_padded_group_reads_as_if_it_were_alone(regions: int) -> None:
    four = SequenceShape(**{**vars(SHAPE), "slots": 4})
    alone = SequenceShape(**{**vars(SHAPE), "slots": regions})
    ids, real, layout = build_sequence(tiny_tokenizer(), four, regions)
    np.testing.assert_array_equal(ids[real], build_sequence(tiny_tokenizer(), alone, regions)[0])
    assert layout == build_sequence(tiny_tokenizer(), four, 4)[2], "one layout for the batch"


def test_a_prompt_with_special_tokens_is_refused() -> None:
    shape = SequenceShape(**{**vars(SHAPE), "prompt": "a <|Mask_Cap_0|> b"})
    with pytest.raises(InputError, match="prompt contains"):
        build_sequence(tiny_tokenizer(), shape, 1)
