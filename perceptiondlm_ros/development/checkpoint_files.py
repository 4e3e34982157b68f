"""The files that describe a checkpoint in the published layout: configuration and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from perceptiondlm_ros.model.config import ModelConfig
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

_PATCH: Final = 16
_MARKERS: Final = 16
"""Region tokens and caption markers, as many as the published tokenizer has."""

SPECIAL_TOKENS: Final = (
    *(END_OF_TEXT, HEADER_START, HEADER_END, END_OF_TURN, MASK, IMAGE, IMAGE_START, IMAGE_END),
    *(region_token(slot) for slot in range(_MARKERS)),
    *(caption_marker(slot) for slot in range(_MARKERS)),
)


@dataclass(frozen=True)
class TransformerSize:
    """The size of the vision tower or the language model."""

    width: int
    inner: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint computes; the defaults are what the published one does.

    Attributes:
        tile: side of a tile in pixels.
        max_tiles: most tiles of an image, without the thumbnail.
        vision_layer: the layer whose output is used, counted from the end.
        roi_side: RoI tokens of a region along each side.
        caption_tokens: tokens of a caption, and its denoising steps.
    """

    vision: TransformerSize
    language: TransformerSize
    tile: int = 512
    max_tiles: int = 6
    vision_layer: int = -2
    roi_side: int = 4
    caption_tokens: int = 32
    corrected_roi_replay: bool = False
    prefix_sees_captions: bool = True
    rope_theta: float = 500_000.0

    def model_config(self, vocabulary: int, image_token_id: int | None = None) -> dict[str, Any]:
        """`config.json`; only the published code asks for the image token."""
        return {
            "model_type": "pdmllm",
            "image_size": self.tile,
            "patch_size": _PATCH,
            "kernel_size": [_PATCH, _PATCH],
            "downsample_ratio": 0.5,
            "vision_select_layer": self.vision_layer,
            "prompt_numbers": 6,
            "roi_output_size": self.roi_side,
            "corrected_roi_replay": self.corrected_roi_replay,
            "prefix_sees_captions": self.prefix_sees_captions,
            "caption_tokens": self.caption_tokens,
            "denoising_steps": self.caption_tokens,
            "image_token_id": image_token_id,
            "vision_abstractor_config": {"projection_type": "mlp2x_gelu"},
            "vision_model_config": {
                "model_type": "siglip",
                "vision_config": {
                    "model_type": "siglip_vision_model",
                    **_transformer(self.vision),
                    "num_channels": 3,
                    "patch_size": _PATCH,
                    "image_size": self.tile,
                    "layer_norm_eps": 1e-6,
                    "hidden_act": "gelu_pytorch_tanh",
                },
            },
            "language_model_config": {
                "model_type": "llada",
                "vocab_size": vocabulary,
                **_transformer(self.language),
                "num_key_value_heads": self.language.heads,
                "hidden_act": "silu",
                "rms_norm_eps": 1e-5,
                "rope_theta": self.rope_theta,
                "attention_bias": False,
            },
        }

    def processor_config(self) -> dict[str, Any]:
        """`processor_config.json`."""
        return {
            "image_size": [self.tile, self.tile],
            "patch_size": _PATCH,
            "downsample_ratio": 0.5,
            "max_sub_img": self.max_tiles,
            "min_sub_img": 1,
        }

    def config(self, vocabulary: int) -> ModelConfig:
        """The configuration as it is read back."""
        return ModelConfig.from_dicts(self.model_config(vocabulary), self.processor_config())


def _transformer(size: TransformerSize) -> dict[str, int]:
    return {
        "hidden_size": size.width,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
    }


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """A byte-level BPE tokenizer in which every word of the texts and the prompt is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    prompt = ("system", "user", "assistant", "\nYou are a helpful assistant.", DEFAULT_PROMPT)
    tokenizer.train_from_iterator([*texts, *prompt], trainer)
    return tokenizer


def write_description(
    folder: Path, architecture: Architecture, tokenizer: Tokenizer
) -> ModelConfig:
    """Write all files but the weights into the folder; return what they say."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = architecture.model_config(tokenizer.get_vocab_size(), tokenizer.token_to_id(IMAGE))
    processor = architecture.processor_config()
    # Not read here: the published processing is the only one. Others who load the files need it.
    preprocessor = {
        "image_processor_type": "SiglipImageProcessor",
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"height": architecture.tile, "width": architecture.tile},
    }
    write_json(folder / "config.json", config)
    write_json(folder / "processor_config.json", processor)
    write_json(folder / "preprocessor_config.json", preprocessor)
    return ModelConfig.from_dicts(config, processor)


def write_json(path: Path, value: object) -> None:
    """Write a value as people read JSON, with a space a level."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
