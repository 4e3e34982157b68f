"""What the small checkpoint is: its sizes, its tokenizer, and the files that describe both.

Everything is written in the published layout, so that the same code loads it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from perceptiondlm_ros.development.scenes.vocabulary import (
    COLOURS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
)
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

CAPTION_TOKENS = 16
"""The longest caption has 13 words and punctuation marks, each one token, and needs an end."""

DENOISING_STEPS = 16
"""Eight leave a caption malformed now and then, where "above" and "left of" shift what follows."""

_SLOTS = 6
_MARKERS = 16
"""Region tokens and caption markers, as many as the published tokenizer has."""

_TILE = 256
_MAX_TILES = 1
"""One tile, whatever the camera's shape: what two CPU cores can learn and run. Objects are still
20 pixels wide in the narrowest case."""

_CONFIG: dict[str, Any] = {
    "model_type": "pdmllm",
    "image_size": _TILE,
    "patch_size": 16,
    "kernel_size": [16, 16],
    "downsample_ratio": 0.5,
    "vision_select_layer": -1,
    "prompt_numbers": _SLOTS,
    "roi_output_size": 2,
    "corrected_roi_replay": True,
    "prefix_sees_captions": False,
    "caption_tokens": CAPTION_TOKENS,
    "denoising_steps": DENOISING_STEPS,
    "vision_abstractor_config": {"projection_type": "mlp2x_gelu"},
    "vision_model_config": {
        "model_type": "siglip",
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "num_channels": 3,
            "patch_size": 16,
            "image_size": _TILE,
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu_pytorch_tanh",
        },
    },
    "language_model_config": {
        "model_type": "llada",
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": False,
    },
}
_PROCESSOR = {
    "image_size": [_TILE, _TILE],
    "patch_size": 16,
    "downsample_ratio": 0.5,
    "max_sub_img": _MAX_TILES,
    "min_sub_img": 1,
}
_PREPROCESSOR = {
    "image_processor_type": "SiglipImageProcessor",
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"height": _TILE, "width": _TILE},
}
"""Not read here: the published processing is the only one. Others who load the files need it."""


def write_description(folder: Path) -> ModelConfig:
    """Write `config.json`, `processor_config.json` and `tokenizer.json`; return the config."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    language = {**_CONFIG["language_model_config"], "vocab_size": tokenizer.get_vocab_size()}
    config = {
        **_CONFIG,
        "language_model_config": language,
        "image_token_id": tokenizer.token_to_id(IMAGE),
    }
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "config.json", config)
    _write_json(folder / "processor_config.json", _PROCESSOR)
    _write_json(folder / "preprocessor_config.json", _PREPROCESSOR)
    return ModelConfig.from_dicts(config, _PROCESSOR)


def build_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer in which every word of a caption or the prompt is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [END_OF_TEXT, HEADER_START, HEADER_END, END_OF_TURN, MASK]
    specials += [IMAGE, IMAGE_START, IMAGE_END]
    specials += [region_token(slot) for slot in range(_MARKERS)]
    specials += [caption_marker(slot) for slot in range(_MARKERS)]
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=specials,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def _corpus() -> Iterator[str]:
    words = itertools.chain(SIZES, PATTERNS, COLOURS, SHAPES, RELATIONS)
    yield from (f"a {word}, alone" for word in words)
    yield from ("system", "user", "assistant", "\nYou are a helpful assistant.")
    yield DEFAULT_PROMPT


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
