"""The small checkpoint's tokenizer and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from perceptiondlm_ros.development.scenes.vocabulary import (
    COLOURS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
    Attributes,
    compose_caption,
)
from perceptiondlm_ros.development.training.recipe import (
    CAPTION_TOKENS,
    build_tokenizer,
    write_description,
)
from perceptiondlm_ros.development.training.samples import caption_ids
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer


def test_every_word_of_a_caption_is_one_token() -> None:
    tokenizer = build_tokenizer()
    for word in (*SIZES, *PATTERNS, *COLOURS, *SHAPES, *RELATIONS):
        count = len(tokenizer.encode(f" {word}").ids)
        assert count == len(word.split()), word


@pytest.fixture
def described(tmp_path: Path) -> tuple[ModelConfig, CaptionTokenizer]:
    config = write_description(tmp_path)
    return config, CaptionTokenizer(tmp_path, config.slots)


def test_written_files_describe_the_model(
    described: tuple[ModelConfig, CaptionTokenizer], tmp_path: Path
) -> None:
    config, _ = described
    assert config == ModelConfig.from_folder(tmp_path)
    assert config.corrected_roi_replay
    assert not config.prefix_sees_captions


def test_captions_fit_and_come_back(described: tuple[ModelConfig, CaptionTokenizer]) -> None:
    _, tokenizer = described
    one = Attributes("medium", "checkered", "purple", "crescent")
    for text in (compose_caption(one, "right of", one), compose_caption(one)):
        ids = caption_ids(tokenizer, text, CAPTION_TOKENS)
        decoded, _, truncated = tokenizer.decode_caption(ids.tolist())
        assert decoded == text
        assert not truncated


def test_the_prompt_is_words_not_letters(
    described: tuple[ModelConfig, CaptionTokenizer],
) -> None:
    _, tokenizer = described
    assert len(tokenizer.encode_prompt(DEFAULT_PROMPT)) <= len(DEFAULT_PROMPT.split()) + 2
