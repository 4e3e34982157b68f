"""A tokenizer with every special token and a vocabulary of any size, for random weights."""

from __future__ import annotations

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import (
    END_OF_TEXT,
    END_OF_TURN,
    HEADER_END,
    HEADER_START,
    IMAGE,
    IMAGE_END,
    IMAGE_START,
    MASK,
    caption_marker,
    region_token,
)

_MARKERS = 16
"""Region tokens and caption markers, as many as the published tokenizer has."""


def build_tokenizer(size: int) -> Tokenizer:
    """A byte-level BPE tokenizer with exactly `size` tokens, the special ones last.

    The words of the prompt are one token each, as in the published vocabulary, so that sequences
    are as long. What random weights say beyond them are made-up words, one a token.
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(
        ["system", "user", "assistant", "\nYou are a helpful assistant.", DEFAULT_PROMPT], trainer
    )
    specials = _special_tokens()
    described = json.loads(trained.to_str())
    words: dict[str, int] = described["model"]["vocab"]
    for index in range(len(words), size - len(specials)):
        words[f"Ġw{index}"] = index
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    found = tokenizer.get_vocab_size()
    if found != size:
        raise ValueError(f"a vocabulary of {size} tokens is too small, at least {found} are needed")
    return tokenizer


def _special_tokens() -> list[str]:
    return [
        *(END_OF_TEXT, HEADER_START, HEADER_END, END_OF_TURN, MASK, IMAGE, IMAGE_START, IMAGE_END),
        *(region_token(slot) for slot in range(_MARKERS)),
        *(caption_marker(slot) for slot in range(_MARKERS)),
    ]
