"""Sizes of the checkpoints that can be made for measuring: the published one, and a small one of
its proportions.

Both compute as the published checkpoint does: 512-pixel tiles, 4 x 4 RoI tokens a region, six
regions a pass, 32 caption tokens and steps, a prefix that sees the captions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Like = Literal["small", "published"]


@dataclass(frozen=True)
class Size:
    """Attributes:
    dtype: of the weights in the files.
    """

    vocabulary: int
    vision_width: int
    vision_inner: int
    vision_layers: int
    vision_heads: int
    width: int
    inner: int
    layers: int
    heads: int
    dtype: Literal["float32", "bfloat16"]


SIZES: dict[Like, Size] = {
    "small": Size(
        vocabulary=8192,
        vision_width=192,
        vision_inner=768,
        vision_layers=5,
        vision_heads=3,
        width=256,
        inner=768,
        layers=8,
        heads=8,
        dtype="float32",
    ),
    "published": Size(
        vocabulary=126_464 + 42,  # the language model's own, and what PerceptionDLM adds
        vision_width=1152,
        vision_inner=4304,
        vision_layers=27,
        vision_heads=16,
        width=4096,
        inner=12_288,
        layers=32,
        heads=32,
        dtype="bfloat16",
    ),
}

SLOTS = 6
TILE = 512
PATCH = 16
MOST_TILES = 6


def model_config(size: Size, image_token_id: int | None = None) -> dict[str, Any]:
    """`config.json` of a checkpoint of this size; only the published code asks for the token."""
    return {
        "model_type": "pdmllm",
        "image_size": TILE,
        "patch_size": PATCH,
        "kernel_size": [PATCH, PATCH],
        "downsample_ratio": 0.5,
        "vision_select_layer": -2,
        "prompt_numbers": SLOTS,
        "roi_output_size": 4,
        "caption_tokens": 32,
        "denoising_steps": 32,
        "image_token_id": image_token_id,
        "vision_abstractor_config": {"projection_type": "mlp2x_gelu"},
        "vision_model_config": {
            "model_type": "siglip",
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": size.vision_width,
                "intermediate_size": size.vision_inner,
                "num_hidden_layers": size.vision_layers,
                "num_attention_heads": size.vision_heads,
                "num_channels": 3,
                "patch_size": PATCH,
                "image_size": TILE,
                "layer_norm_eps": 1e-6,
                "hidden_act": "gelu_pytorch_tanh",
            },
        },
        "language_model_config": {
            "model_type": "llada",
            "vocab_size": size.vocabulary,
            "hidden_size": size.width,
            "intermediate_size": size.inner,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "attention_bias": False,
        },
    }


def processor_config() -> dict[str, Any]:
    """`processor_config.json` of a checkpoint of any of these sizes."""
    return {
        "image_size": [TILE, TILE],
        "patch_size": PATCH,
        "downsample_ratio": 0.5,
        "max_sub_img": MOST_TILES,
        "min_sub_img": 1,
    }
