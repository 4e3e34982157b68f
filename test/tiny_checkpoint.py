"""A checkpoint in the published layout with random weights, small enough for every test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from perceptiondlm_ros.model.checkpoint import save_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import WEIGHTS
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

SLOTS = 6

CONFIG: dict[str, Any] = {
    "image_size": 64,
    "prompt_numbers": SLOTS,
    "roi_output_size": 2,
    "caption_tokens": 6,
    "denoising_steps": 6,
    "vision_model_config": {
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
        }
    },
    "language_model_config": {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def tiny_config(**changes: Any) -> ModelConfig:
    """The config with other top-level values."""
    return ModelConfig.from_dicts({**CONFIG, **changes}, {})


def random_model(config: ModelConfig, seed: int = 0) -> PerceptionDLM:
    """Weights large enough that regions, tokens and steps make a difference."""
    model = PerceptionDLM(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        centre, spread = (1.0, 0.1) if "norm" in name and name.endswith("weight") else (0.0, 0.3)
        parameter.data = centre + spread * noise
    return model.requires_grad_(False).eval()


def special_tokens(slots: int = SLOTS) -> list[str]:
    return [
        *("<|mdm_mask|>", "<IMG_CONTEXT>", "<img>", "</img>", "<|eot_id|>", "<|endoftext|>"),
        *("<|start_header_id|>", "<|end_header_id|>"),
        *(f"<|reserved_token_{slot}|>" for slot in range(slots)),
        *(f"<|Mask_Cap_{slot}|>" for slot in range(slots)),
    ]


def save_tokenizer(folder: Path, specials: list[str] | None = None) -> None:
    """A token a byte, and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = special_tokens() if specials is None else specials
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.save(str(folder / "tokenizer.json"))


def save_checkpoint(folder: Path, seed: int = 0, **changes: Any) -> ModelConfig:
    """Write config, weights and tokenizer; `changes` are top-level values of `config.json`."""
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    save_tokenizer(folder)
    config = ModelConfig.from_folder(folder)
    save_model(random_model(config, seed), folder / WEIGHTS, dtype=torch.float32)
    return config


@cache
def tiny_tokenizer() -> CaptionTokenizer:
    with TemporaryDirectory() as name:
        save_tokenizer(Path(name))
        return CaptionTokenizer(Path(name), SLOTS)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise, uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rectangle(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """bool [H, W], True inside x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    mask = np.zeros((height, width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def rectangles(height: int, width: int, count: int) -> Iterator[np.ndarray]:
    """Overlapping rectangles, each smaller than the one before."""
    for index in range(count):
        x, y = (index * 11) % (width // 2), (index * 7) % (height // 2)
        side = width // 2 - 2 * index
        yield rectangle(height, width, (x, y, x + side, y + height // 2))
