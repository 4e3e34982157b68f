"""The sequence of a group: image, regions, prompt, and one masked caption block a region.

system turn, user turn: <img> image </img> region \\n region ... \\n prompt, assistant turn:
marker mask*M \\n marker mask*M ... <|eot_id|>
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perceptiondlm_ros.model.contract import BoolArray, IntArray, SequenceLayout
from perceptiondlm_ros.processing.tokenizer import (
    END_OF_TURN,
    HEADER_END,
    HEADER_START,
    IMAGE_END,
    IMAGE_START,
    CaptionTokenizer,
)

DEFAULT_PROMPT = "Describe each masked region in detail."

_HEAD = (
    f"{HEADER_START}system{HEADER_END}\nYou are a helpful assistant.{END_OF_TURN}\n"
    f"{HEADER_START}user{HEADER_END}\n{IMAGE_START}"
)
_ASSISTANT = f"{END_OF_TURN}\n{HEADER_START}assistant{HEADER_END}\n"


@dataclass(frozen=True)
class SequenceShape:
    """What decides the length of a sequence.

    Attributes:
        image_tokens: T*C of the image's own tiles.
        image_places: places for them, at least as many; the rest is padding.
        roi_tokens: R.
        caption_tokens: M.
        slots: N, places for regions; a group may use fewer.
        prompt: the user's words.
    """

    image_tokens: int
    image_places: int
    roi_tokens: int
    caption_tokens: int
    slots: int
    prompt: str


def build_sequence(
    tokenizer: CaptionTokenizer, shape: SequenceShape, regions: int
) -> tuple[IntArray, BoolArray, SequenceLayout]:
    """Token ids of a group with `regions` regions in `shape.slots` places.

    Returns:
        token_ids int64 [L]; real bool [L], False on the places of missing tiles and regions; the
        layout, which depends on the shape alone.

    Raises:
        InputError: the prompt contains a special token.
    """
    ids: list[int] = []
    padding: list[tuple[int, int]] = []
    roi_starts, block_starts = [], []

    ids += tokenizer.encode(_HEAD)
    image_start = len(ids)
    ids += [tokenizer.image_id] * shape.image_places
    padding.append((image_start + shape.image_tokens, len(ids)))
    ids += [tokenizer.id_of(IMAGE_END)]
    for slot in range(shape.slots):
        start = len(ids)
        if slot:
            ids += [tokenizer.newline_id]
        roi_starts.append(len(ids))
        ids += [tokenizer.region_ids[slot]] * shape.roi_tokens
        if slot >= regions:
            padding.append((start, len(ids)))
    prompt_start = len(ids)
    ids += tokenizer.encode_prompt(shape.prompt) + tokenizer.encode(_ASSISTANT)
    for slot in range(shape.slots):
        block_starts.append(len(ids))
        ids += [tokenizer.marker_ids[slot]] + [tokenizer.mask_id] * shape.caption_tokens
        last = slot == min(regions, shape.slots) - 1
        ids += [tokenizer.end_of_turn_id if last else tokenizer.newline_id]
        if slot >= regions:
            padding.append((block_starts[-1], len(ids)))

    real = np.ones(len(ids), dtype=np.bool_)
    for start, end in padding:
        real[start:end] = False
    layout = SequenceLayout(
        length=len(ids),
        image_start=image_start,
        image_tokens=shape.image_places,
        roi_starts=tuple(roi_starts),
        roi_tokens=shape.roi_tokens,
        prompt_start=prompt_start,
        block_starts=tuple(block_starts),
        caption_tokens=shape.caption_tokens,
    )
    return np.asarray(ids, dtype=np.int64), real, layout
