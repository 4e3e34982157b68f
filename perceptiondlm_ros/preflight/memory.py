"""How much memory a model needs, from its config and precision alone.

Weights and the prefix cache are exact. Activations are an estimate from above: attention written
out, nothing fused, and every tensor of the largest layer alive at once.

Letters for shapes are those of `model.contract`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import sequence_length
from perceptiondlm_ros.model.published import published_shapes

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
"""Of a weight. Activations of an int8 model are fp32."""

_IN_FP32 = ("embedding", "embed_tokens", "lm_head")
"""Matrices that an int8 model keeps in fp32; vectors it keeps too."""

_TEXT_TOKENS = 64
"""Positions of the fixed texts and a usual prompt; a tokenizer decides how many exactly."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes for one image with one group that fills all slots.

    Attributes:
        tiles: T.
        positions: L.
        cache: keys and values of all positions.
        activations: of whichever is larger, the vision encoder's or the denoiser's.
    """

    tiles: int
    positions: int
    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activations


def part_bytes(config: ModelConfig, precision: str) -> tuple[int, int]:
    """Weights of the vision encoder and of the denoiser."""
    parts = [0, 0]
    for name, shape in published_shapes(config).items():
        stays = precision == "int8" and (len(shape) == 1 or any(key in name for key in _IN_FP32))
        width = BYTES["fp32" if stays else precision]
        parts[name.startswith("language_model.")] += math.prod(shape) * width
    return parts[0], parts[1]


def cache_bytes_a_position(config: ModelConfig, precision: str) -> int:
    """Keys and values of one position in every language layer."""
    language = config.language
    pairs = 2 * language.num_hidden_layers * language.num_key_value_heads * language.head_dim
    return pairs * _activation_bytes(precision)


def usual_tile_counts(config: ModelConfig) -> list[int]:
    """1, 3 and the checkpoint's most; a thumbnail goes with every grid of more than one tile."""
    most = config.max_tiles + (config.max_tiles > 1)
    return sorted({count for count in (1, 3, most) if count <= most})


def memory_need(config: ModelConfig, precision: str, tiles: int, weights: int) -> MemoryNeed:
    """What one image of so many tiles needs.

    Args:
        weights: bytes, as `part_bytes` or as an exported model has them.
    """
    positions = usual_length(config, tiles)
    return MemoryNeed(
        tiles=tiles,
        positions=positions,
        weights=weights,
        cache=positions * cache_bytes_a_position(config, precision),
        activations=max(
            _vision_activations(config, precision, tiles),
            _denoiser_activations(config, precision, positions),
        ),
    )


def usual_length(config: ModelConfig, tiles: int) -> int:
    """L with every slot taken, give or take the words of the prompt."""
    image = tiles * config.tokens_per_tile
    roi = image if config.roi_output_size is None else math.prod(config.roi_output_size)
    return sequence_length(
        image_tokens=image,
        slots=config.slots,
        roi_tokens=roi,
        caption_tokens=config.caption_tokens,
        text_tokens=_TEXT_TOKENS,
    )


def _vision_activations(config: ModelConfig, precision: str, tiles: int) -> int:
    vision, patches = config.vision, config.patches_per_side**2
    rows = tiles * patches * (6 * vision.hidden_size + 2 * vision.intermediate_size)
    scores = 2 * tiles * vision.num_attention_heads * patches**2
    return (rows + scores) * _activation_bytes(precision)


def _denoiser_activations(config: ModelConfig, precision: str, positions: int) -> int:
    language = config.language
    heads = language.num_attention_heads
    rows = positions * (8 * language.hidden_size + 3 * language.intermediate_size)
    scores = (2 * heads + 1) * positions * (positions + 1)
    logits = 2 * config.slots * config.caption_tokens * language.vocab_size * BYTES["fp32"]
    return (rows + scores) * _activation_bytes(precision) + logits


def _activation_bytes(precision: str) -> int:
    return BYTES["fp32" if precision == "int8" else precision]
