"""What a checkpoint's `config.json` says, read once into frozen dataclasses.

Keys and their defaults are those of the published PerceptionDLM. Four keys are our own and describe
checkpoints that were trained differently; absent, they mean the published behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.json_values import MOST, flag, number, pair, read_json, section, whole
from perceptiondlm_ros.model.rope import rope_base
from perceptiondlm_ros.model.supported import LANGUAGE, VISION, faults

_OF_PROCESSOR = ("processor_config.json", "preprocessor_config.json")


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
        image_token_id: the token whose places visual tokens take; None where only the tokenizer
            says it.
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
    image_token_id: int | None = None

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
        """Read `config.json` and, where they are, the two files of the processor of a checkpoint.

        Raises:
            CheckpointError: a file is missing or not JSON, or a value can't be used.
        """
        config = read_json(folder / "config.json")
        processor, images = (
            read_json(folder / name) if lexists(folder / name) else {} for name in _OF_PROCESSOR
        )
        return cls.from_dicts(config, processor, images)

    @classmethod
    def from_dicts(
        cls,
        config: dict[str, Any],
        processor: dict[str, Any],
        images: dict[str, Any] | None = None,
    ) -> ModelConfig:
        """As `from_folder`, from the parsed files.

        Args:
            images: `preprocessor_config.json`.

        Raises:
            CheckpointError: a value can't be used, or the files describe a model that is computed
                in another way.
        """
        result = cls(
            vision=_vision(config),
            language=_language(config),
            downsample_ratio=number(config, "downsample_ratio", 0.5),
            vision_select_layer=whole(config, "vision_select_layer", -2, least=-MOST),
            slots=whole(config, "prompt_numbers", 5),
            roi_output_size=pair(config, "roi_output_size", None),
            min_tiles=whole(processor, "min_sub_img", 1),
            max_tiles=whole(processor, "max_sub_img", 6),
            corrected_roi_replay=flag(config, "corrected_roi_replay", False),
            prefix_sees_captions=flag(config, "prefix_sees_captions", True),
            caption_tokens=whole(config, "caption_tokens", 32),
            denoising_steps=whole(config, "denoising_steps", 32),
            image_token_id=_token_id(config, "image_token_id"),
        )
        _check(result, config, processor, images or {})
        return result


def _token_id(config: dict[str, Any], key: str) -> int | None:
    return None if config.get(key) is None else whole(config, key, 0, least=0)


def _vision(config: dict[str, Any]) -> VisionConfig:
    vision = section(section(config, VISION), "vision_config")
    return VisionConfig(
        hidden_size=whole(vision, "hidden_size", 768),
        intermediate_size=whole(vision, "intermediate_size", 3072),
        num_hidden_layers=whole(vision, "num_hidden_layers", 12),
        num_attention_heads=whole(vision, "num_attention_heads", 12),
        image_size=whole(config, "image_size", 512),
        patch_size=whole(config, "patch_size", 16),
        layer_norm_eps=number(vision, "layer_norm_eps", 1e-6),
    )


def _language(config: dict[str, Any]) -> LanguageConfig:
    language = section(config, LANGUAGE)
    heads = whole(language, "num_attention_heads", 32)
    grouped = language.get("num_key_value_heads") is not None
    return LanguageConfig(
        vocab_size=whole(language, "vocab_size", 32000),
        hidden_size=whole(language, "hidden_size", 4096),
        intermediate_size=whole(language, "intermediate_size", 11008),
        num_hidden_layers=whole(language, "num_hidden_layers", 32),
        num_attention_heads=heads,
        num_key_value_heads=whole(language, "num_key_value_heads", heads) if grouped else heads,
        rms_norm_eps=number(language, "rms_norm_eps", 1e-6),
        rope_theta=rope_base(config, language, LANGUAGE),
        attention_bias=flag(language, "attention_bias", False),
    )


def _check(
    config: ModelConfig, raw: dict[str, Any], processor: dict[str, Any], images: dict[str, Any]
) -> None:
    vision, language = config.vision, config.language
    kernel = pair(raw, "kernel_size", 16)
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
        (language.head_dim % 2 == 0, "the width of a head must be even"),
        (
            language.num_attention_heads % language.num_key_value_heads == 0,
            "num_key_value_heads must divide num_attention_heads",
        ),
        (
            -vision.num_hidden_layers <= config.vision_select_layer < vision.num_hidden_layers,
            "vision_select_layer must name a layer",
        ),
        (config.slots <= 16, "prompt_numbers must be 1 to 16"),
        (config.min_tiles <= config.max_tiles <= 64, "min_sub_img <= max_sub_img <= 64"),
    ]
    broken = [text for holds, text in rules if not holds]
    broken = broken or [*faults(config, raw, processor, images)]
    if broken:
        raise CheckpointError(
            "the checkpoint's configuration describes a model that this package can't run: "
            f"{'; '.join(broken)}"
        )
