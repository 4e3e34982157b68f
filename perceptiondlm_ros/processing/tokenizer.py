"""The checkpoint's tokenizer, and the special tokens that give the sequence its structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.model.config import ModelConfig

MASK, IMAGE, IMAGE_START, IMAGE_END = "<|mdm_mask|>", "<IMG_CONTEXT>", "<img>", "</img>"
END_OF_TURN, END_OF_TEXT = "<|eot_id|>", "<|endoftext|>"
HEADER_START, HEADER_END = "<|start_header_id|>", "<|end_header_id|>"

MOST_PROMPT_TOKENS = 4096
"""Memory grows with the square of the sequence, so a file pasted by mistake is refused."""


def region_token(slot: int) -> str:
    """The token that becomes the RoI tokens of a region."""
    return f"<|reserved_token_{slot}|>"


def caption_marker(slot: int) -> str:
    """The token that opens the caption of a region."""
    return f"<|Mask_Cap_{slot}|>"


class CaptionTokenizer:
    """Text to token ids and back.

    Raises:
        CheckpointError: `tokenizer.json` is missing, unreadable, or lacks a special token.
    """

    def __init__(self, folder: Path, slots: int) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(
                f"{path} is missing; a checkpoint folder needs it, fetch it again"
            )
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises a bare Exception
            raise CheckpointError(f"{path} can't be read ({error}); fetch it again") from error
        self._path = path
        for token in (HEADER_START, HEADER_END, IMAGE_START, IMAGE_END):
            self.id_of(token)  # else it would be encoded as if it were words
        self.mask_id = self.id_of(MASK)
        self.image_id = self.id_of(IMAGE)
        self.end_of_turn_id = self.id_of(END_OF_TURN)
        self._end_ids = (self.end_of_turn_id, self.id_of(END_OF_TEXT))
        self.region_ids = tuple(self.id_of(region_token(slot)) for slot in range(slots))
        self.marker_ids = tuple(self.id_of(caption_marker(slot)) for slot in range(slots))
        newline = self.encode("\n")
        if len(newline) != 1:
            raise CheckpointError(
                f"{path} makes {len(newline)} tokens of a line break, expected one, as the "
                "tokenizer of a PerceptionDLM checkpoint does"
            )
        (self.newline_id,) = newline
        self.largest_id = max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        added = self._tokenizer.get_added_tokens_decoder()
        self._specials = {index: token.content for index, token in added.items()}

    def id_of(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(
                f"{self._path} has no token {token}; expected the tokenizer of a PerceptionDLM "
                "checkpoint"
            )
        return int(found)

    def check_fits(self, config: ModelConfig) -> None:
        """Hold the tokens against the model's.

        Raises:
            CheckpointError: the model has no embedding for a token, or puts its visual tokens in
                the places of another one.
        """
        vocabulary, image = config.language.vocab_size, config.image_token_id
        if self.largest_id >= vocabulary:
            raise CheckpointError(
                f"{self._path} has a token {self.largest_id}, expected less than the model's "
                f"vocab_size {vocabulary}; both must be of the same checkpoint"
            )
        if image is not None and image != self.image_id:
            raise CheckpointError(
                f"{self._path} has {IMAGE} as token {self.image_id}, expected {image}, which "
                "config.json says is image_token_id; both must be of the same checkpoint"
            )

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_prompt(self, prompt: str) -> list[int]:
        """The line break and the prompt as they follow the regions.

        Raises:
            InputError: the prompt contains a special token, which would break the sequence apart,
                is too long, or is no valid Unicode.
        """
        try:
            ids = self.encode("\n" + prompt)
        except TypeError as error:
            raise InputError(
                f"prompt is {prompt!r:.80}, expected text that can be written as UTF-8"
            ) from error
        if len(ids) > MOST_PROMPT_TOKENS:
            raise InputError(
                f"prompt has {len(ids)} tokens, expected at most {MOST_PROMPT_TOKENS}; shorten it"
            )
        found = sorted({self._specials[i] for i in ids if i in self._specials})
        if found:
            raise InputError(
                f"prompt contains the special token {found[0]!r}; expected plain text, remove it"
            )
        return ids

    def decode_caption(self, token_ids: Sequence[int]) -> tuple[str, int, bool]:
        """The text of a caption's M raw tokens.

        Returns:
            The text before the first end token, the number of tokens before that, and whether no
            end token was found, so that the caption is cut off. Special tokens are no text, nor is
            the mask token, which stays where the model predicts it.
        """
        ends = np.flatnonzero(np.isin(token_ids, self._end_ids))
        length = int(ends[0]) if len(ends) else len(token_ids)
        words = [index for index in token_ids[:length] if index != self.mask_id]
        text = self._tokenizer.decode(words, skip_special_tokens=True)
        return text.strip(), length, not len(ends)
