"""What the small checkpoint is: its sizes, and a tokenizer of the words that scenes need."""

from __future__ import annotations

import itertools
from typing import Final

from tokenizers import Tokenizer

from perceptiondlm_ros.development.checkpoint_files import (
    Architecture,
    TransformerSize,
    train_tokenizer,
)
from perceptiondlm_ros.development.scenes.vocabulary import RELATIONS, WORDS

SMALL: Final = Architecture(
    vision=TransformerSize(width=192, inner=768, layers=5, heads=3),
    language=TransformerSize(width=192, inner=512, layers=4, heads=3),
    # One tile, whatever the camera's shape: what two CPU cores can learn and run. Objects are still
    # 20 pixels wide in the narrowest case.
    tile=256,
    max_tiles=1,
    vision_layer=-1,
    roi_side=2,
    # The longest caption has 13 words and punctuation marks, each one token, and needs an end. With
    # half as many steps one is malformed now and then, where "above" and "left of" shift the rest.
    caption_tokens=16,
    corrected_roi_replay=True,
    prefix_sees_captions=False,
    rope_theta=10_000.0,
)


def small_tokenizer() -> Tokenizer:
    """A tokenizer in which every word of a caption or the prompt is one token."""
    words = itertools.chain(*WORDS, RELATIONS)
    return train_tokenizer(f"a {word}, alone" for word in words)
