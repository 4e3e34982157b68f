import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.benchmark.sizes import SIZES, SLOTS
from perceptiondlm_ros.development.benchmark.vocabulary import build_tokenizer
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer


def loaded(size: int) -> CaptionTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        build_tokenizer(size).save(f"{folder}/tokenizer.json")
        return CaptionTokenizer(Path(folder), SLOTS)


@given(st.integers(400, 2000))
def test_every_id_below_the_size_is_a_token(size: int) -> None:
    assert loaded(size).largest_id == size - 1


def test_every_id_has_a_text() -> None:
    tokenizer = loaded(512)
    words = range(400, 512 - 40)
    assert all(tokenizer.decode_caption([index])[0] for index in words)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"200 tokens is too small, at least \d+ are needed"):
        build_tokenizer(200)


@pytest.mark.parametrize("like", SIZES)
def test_the_prompt_is_a_few_words_long(like: str) -> None:
    tokenizer = loaded(SIZES[like].vocabulary)
    assert 5 <= len(tokenizer.encode_prompt(DEFAULT_PROMPT)) <= 12
