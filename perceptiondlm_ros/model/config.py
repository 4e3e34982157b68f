"""What a checkpoint's `config.json` says, read once into frozen dataclasses.

Keys and their defaults are those of the published PerceptionDLM. Four keys are our own and describe
checkpoints that were trained differently; absent, they mean the published behaviour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import CheckpointError


@dataclass(frozen=True)
class VisionConfig:
    """A SigLIP vision tower. Sizes in elements, `image_size` and `patch_size` in pixels."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    image_size: int
    patch_size: int
    layer_norm_eps: float


@dataclass(frozen=True)
class LanguageConfig:
    """A LLaDA language model: bidirectional, RMSNorm, rotary positions, gated SiLU MLP."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float
    attention_bias: bool

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides how a checkpoint computes.

    Attributes:
        vision_select_layer: index into the list of layer outputs; -1 is the last one after the
            post-layernorm.
        slots: regions that fit one pass (`prompt_numbers` in `config.json`).
        roi_output_size: RoI tokens of a region as (rows, columns); None is the whole feature map.
        min_tiles, max_tiles: limits of columns x rows of the tile grid (`processor_config.json`).
        corrected_roi_replay: own key. False: the feature map leaves out the first tile and closes
            with the thumbnail, and the box is scaled twice. True: all tiles in grid order, no
            thumbnail, box scaled once.
        prefix_sees_captions: own key. Whether rows before the captions attend to the captions.
        caption_tokens: own key. Tokens of a caption that the checkpoint was trained for.
        denoising_steps: own key. Steps that the checkpoint is meant to run.
    """

    vision: VisionConfig
    language: LanguageConfig
    downsample_ratio: float
    vision_select_layer: int
    slots: int
    roi_output_size: tuple[int, int] | None
    min_tiles: int
    max_tiles: int
    corrected_roi_replay: bool
    prefix_sees_captions: bool
    caption_tokens: int
    denoising_steps: int

    @property
    def tile_size(self) -> int:
        """Side of a tile in pixels."""
        return self.vision.image_size

    @property
    def patches_per_side(self) -> int:
        return self.vision.image_size // self.vision.patch_size

    @property
    def cells_per_side(self) -> int:
        """Visual tokens along one side of a tile, after the pixel shuffle."""
        return int(self.patches_per_side * self.downsample_ratio)

    @property
    def tokens_per_tile(self) -> int:
        return self.cells_per_side**2

    @classmethod
    def from_folder(cls, folder: Path) -> ModelConfig:
        """Read `config.json` and, where there is one, `processor_config.json` of a checkpoint.

        Raises:
            CheckpointError: a file is missing or not JSON, or a value can't be used.
        """
        config = read_json(folder / "config.json")
        processor_file = folder / "processor_config.json"
        processor = read_json(processor_file) if processor_file.is_file() else {}
        return cls.from_dicts(config, processor)

    @classmethod
    def from_dicts(cls, config: dict[str, Any], processor: dict[str, Any]) -> ModelConfig:
        """As `from_folder`, from the parsed files.

        Raises:
            CheckpointError: a value is missing or can't be used.
        """
        try:
            result = cls(
                vision=_vision(config),
                language=_language(config),
                downsample_ratio=float(config.get("downsample_ratio", 0.5)),
                vision_select_layer=int(config.get("vision_select_layer", -2)),
                slots=int(config.get("prompt_numbers", 5)),
                roi_output_size=_pair(config.get("roi_output_size")),
                min_tiles=int(processor.get("min_sub_img", 1)),
                max_tiles=int(processor.get("max_sub_img", 6)),
                corrected_roi_replay=bool(config.get("corrected_roi_replay", False)),
                prefix_sees_captions=bool(config.get("prefix_sees_captions", True)),
                caption_tokens=int(config.get("caption_tokens", 32)),
                denoising_steps=int(config.get("denoising_steps", 32)),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"config.json holds a value of the wrong kind ({error}); "
                "expected the layout of the published PerceptionDLM"
            ) from error
        _check(result, config)
        return result


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        CheckpointError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); expected a checkpoint folder with "
            "config.json, model.safetensors and tokenizer.json"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error}); fetch the file again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def _vision(config: dict[str, Any]) -> VisionConfig:
    vision = dict(config.get("vision_model_config", {}).get("vision_config", {}))
    return VisionConfig(
        hidden_size=int(vision.get("hidden_size", 768)),
        intermediate_size=int(vision.get("intermediate_size", 3072)),
        num_hidden_layers=int(vision.get("num_hidden_layers", 12)),
        num_attention_heads=int(vision.get("num_attention_heads", 12)),
        image_size=int(config.get("image_size", 512)),
        patch_size=int(config.get("patch_size", 16)),
        layer_norm_eps=float(vision.get("layer_norm_eps", 1e-6)),
    )


def _language(config: dict[str, Any]) -> LanguageConfig:
    language = dict(config.get("language_model_config", {}))
    heads = int(language.get("num_attention_heads", 32))
    key_value_heads = language.get("num_key_value_heads")
    return LanguageConfig(
        vocab_size=int(language.get("vocab_size", 32000)),
        hidden_size=int(language.get("hidden_size", 4096)),
        intermediate_size=int(language.get("intermediate_size", 11008)),
        num_hidden_layers=int(language.get("num_hidden_layers", 32)),
        num_attention_heads=heads,
        num_key_value_heads=heads if key_value_heads is None else int(key_value_heads),
        rms_norm_eps=float(language.get("rms_norm_eps", 1e-6)),
        rope_theta=float(language.get("rope_theta", 10000.0)),
        attention_bias=bool(language.get("attention_bias", False)),
    )


def _pair(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, int):
        return value, value
    rows, columns = value
    return int(rows), int(columns)


def _check(config: ModelConfig, raw: dict[str, Any]) -> None:
    vision, language = config.vision, config.language
    kernel = _pair(raw.get("kernel_size", [16, 16]))
    activations = (
        raw.get("vision_model_config", {}).get("vision_config", {}).get("hidden_act"),
        raw.get("language_model_config", {}).get("hidden_act"),
    )
    rules = [
        (vision.image_size % vision.patch_size == 0, "image_size must be a multiple of patch_size"),
        (config.downsample_ratio == 0.5, "downsample_ratio must be 0.5"),
        (config.patches_per_side % 2 == 0, "patches along a tile's side must be even"),
        (kernel == (vision.patch_size,) * 2, "kernel_size must equal patch_size"),
        (
            vision.hidden_size % vision.num_attention_heads == 0,
            "vision heads must divide its width",
        ),
        (language.hidden_size % language.num_attention_heads == 0, "heads must divide the width"),
        (
            language.num_attention_heads % language.num_key_value_heads == 0,
            "num_key_value_heads must divide num_attention_heads",
        ),
        (
            -vision.num_hidden_layers <= config.vision_select_layer < vision.num_hidden_layers,
            "vision_select_layer must name a layer",
        ),
        (1 <= config.slots <= 16, "prompt_numbers must be 1 to 16"),
        (1 <= config.min_tiles <= config.max_tiles, "min_sub_img must be 1 to max_sub_img"),
        (config.caption_tokens >= 1, "caption_tokens must be at least 1"),
        (config.denoising_steps >= 1, "denoising_steps must be at least 1"),
        (activations[0] in (None, "gelu_pytorch_tanh"), "vision hidden_act: gelu_pytorch_tanh"),
        (activations[1] in (None, "silu"), "language hidden_act must be silu"),
        (
            raw.get("language_model_config", {}).get("rope_scaling") is None,
            "rope_scaling must be null",
        ),
    ]
    broken = [text for holds, text in rules if not holds]
    if broken:
        raise CheckpointError(
            f"config.json describes a model that this package can't run: {'; '.join(broken)}"
        )
