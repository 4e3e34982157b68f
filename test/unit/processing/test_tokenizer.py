"""The tokenizer and what it makes of a caption's tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import (
    CONFIG,
    SLOTS,
    save_tokenizer,
    special_tokens,
    tiny_config,
    tiny_tokenizer,
)
from tokenizers import Tokenizer, models

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.processing.tokenizer import MOST_PROMPT_TOKENS, CaptionTokenizer


def ids(*parts: str) -> list[int]:
    return [token for part in parts for token in tiny_tokenizer().encode(part)]


class TestCaptions:
    @pytest.mark.parametrize(
        ("parts", "expected"),
        [
            (["a red ball", "<|eot_id|>", "junk", "<|eot_id|>", "more"], ("a red ball", 10, False)),
            (["a red ball", "<|endoftext|>", "junk"], ("a red ball", 10, False)),
            (["a red ba"], ("a red ba", 8, True)),
            (["<|eot_id|>", "junk"], ("", 0, False)),
            (["ball", "<|eot_id|>"], ("ball", 4, False)),
            (["\n a", "<|mdm_mask|>", "b ", "<|Mask_Cap_1|>", "<|eot_id|>"], ("ab", 7, False)),
            (["<|mdm_mask|>"] * 4, ("", 4, True)),
        ],
        ids=str,
    )
    def test_the_text_before_the_first_end_token(
        self, parts: list[str], expected: tuple[str, int, bool]
    ) -> None:
        assert tiny_tokenizer().decode_caption(ids(*parts)) == expected

    def test_the_mask_token_is_no_text_where_the_file_does_not_call_it_special(
        self, tmp_path: Path
    ) -> None:
        save_tokenizer(tmp_path)
        path = tmp_path / "tokenizer.json"
        values = json.loads(path.read_text())
        for token in values["added_tokens"]:
            token["special"] = token["content"] != "<|mdm_mask|>"
        path.write_text(json.dumps(values))
        tokenizer = CaptionTokenizer(tmp_path, SLOTS)
        caption = tokenizer.encode("a<|mdm_mask|> cup<|eot_id|>")
        assert tokenizer.mask_id in caption
        assert tokenizer.decode_caption(caption) == ("a cup", 6, False)

    @given(caption=st.lists(st.integers(0, 10_000), max_size=40))
    def test_any_tokens_become_text(self, caption: list[int]) -> None:
        text, length, truncated = tiny_tokenizer().decode_caption(caption)
        assert text == text.strip() and 0 <= length <= len(caption)
        assert truncated == (length == len(caption))

    @given(text=st.text().map(lambda text: text.replace("<", "")))
    def test_text_survives(self, text: str) -> None:
        caption = [*ids(text), *ids("<|eot_id|>")]
        assert tiny_tokenizer().decode_caption(caption)[0] == text.strip()


class TestPrompt:
    def test_it_follows_a_line_break(self) -> None:
        assert tiny_tokenizer().encode_prompt("What?") == ids("\nWhat?")

    @pytest.mark.parametrize("special", special_tokens())
    def test_special_tokens_are_refused_by_name(self, special: str) -> None:
        with pytest.raises(InputError, match=r"prompt contains the special token") as caught:
            tiny_tokenizer().encode_prompt(f"say {special} please")
        assert repr(special) in str(caught.value)

    def test_a_file_pasted_by_mistake(self) -> None:
        with pytest.raises(InputError, match="prompt has 5001 tokens, expected at most 4096"):
            tiny_tokenizer().encode_prompt("x" * 5000)
        assert len(tiny_tokenizer().encode_prompt("x" * (MOST_PROMPT_TOKENS - 1))) == 4096

    @settings(max_examples=100)
    @given(prompt=st.text(st.characters()))
    def test_any_text_is_encoded_or_refused_by_name(self, prompt: str) -> None:
        tokens, refusal = [], ""
        try:
            tokens = tiny_tokenizer().encode_prompt(prompt)
        except InputError as error:
            refusal = str(error)
        if refusal:
            assert refusal.startswith("prompt ")
        else:
            assert tokens == ids("\n" + prompt)

    def test_half_a_character_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"prompt is .*UTF-8"):
            tiny_tokenizer().encode_prompt("a \ud800")


class TestFile:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
            CaptionTokenizer(tmp_path, SLOTS)

    @pytest.mark.parametrize("content", [b"", b"{}", b"[1", b"\xff\xfe"])
    def test_unreadable(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"tokenizer\.json can't be read"):
            CaptionTokenizer(tmp_path, SLOTS)

    @pytest.mark.parametrize("left_out", special_tokens())
    def test_without_a_special_token(self, tmp_path: Path, left_out: str) -> None:
        save_tokenizer(tmp_path, [name for name in special_tokens() if name != left_out])
        with pytest.raises(CheckpointError, match="has no token") as caught:
            CaptionTokenizer(tmp_path, SLOTS)
        assert left_out in str(caught.value)

    def test_that_does_not_know_line_breaks(self, tmp_path: Path) -> None:
        tokenizer = Tokenizer(models.BPE({"a": 0}, []))
        tokenizer.add_special_tokens(special_tokens())
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(CheckpointError, match="makes 0 tokens of a line break"):
            CaptionTokenizer(tmp_path, SLOTS)

    def test_it_may_know_more_slots_than_the_model(self, tmp_path: Path) -> None:
        save_tokenizer(tmp_path)
        assert len(CaptionTokenizer(tmp_path, 2).region_ids) == 2

    @pytest.mark.parametrize("image", [None, 257])
    def test_of_the_same_checkpoint_as_the_model(self, image: int | None) -> None:
        tiny_tokenizer().check_fits(tiny_config(image_token_id=image))

    def test_of_another_checkpoint_than_the_model(self) -> None:
        with pytest.raises(CheckpointError, match=r"has <IMG_CONTEXT> as token 257, expected 5"):
            tiny_tokenizer().check_fits(tiny_config(image_token_id=5))
        smaller = {**CONFIG["language_model_config"], "vocab_size": 270}
        with pytest.raises(CheckpointError, match=r"has a token 275, expected less than .*270"):
            tiny_tokenizer().check_fits(tiny_config(language_model_config=smaller))
