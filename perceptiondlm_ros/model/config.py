"""What a checkpoint's `config.json` says, read once into frozen dataclasses.

Keys and their defaults are those of the published PerceptionDLM. Six keys are our own and describe
checkpoints that were trained differently; absent, they mean the published behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, ValidationError, convert

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.json_values import (
    MOST,
    Count,
    Flag,
    Positive,
    Probability,
    TokenId,
    decode,
    read_json,
    section,
    wrong,
)
from perceptiondlm_ros.model.rope import DEFAULT_BASE, rope_base
from perceptiondlm_ros.model.supported import LANGUAGE, VISION, faults

Layer = Annotated[
    int, Meta(ge=-MOST, le=MOST, description=f"a whole number from {-MOST} to {MOST}")
]
Decoding = Annotated[
    str, Meta(pattern=r"\A(schedule|confidence)\Z", description="schedule or confidence")
]
ImageToken = Annotated[TokenId | None, Meta(description=f"a whole number from 0 to {MOST}")]

_OF_PROCESSOR = ("processor_config.json", "preprocessor_config.json")
_TILE_LIMITS, _PIXELS = ("min_sub_img", "max_sub_img"), ("image_size", "patch_size")


@dataclass(frozen=True)
class VisionConfig:
    """A SigLIP vision tower. Sizes in elements, `image_size` and `patch_size` in pixels."""

    hidden_size: Count = 768
    intermediate_size: Count = 3072
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    image_size: Count = 512
    patch_size: Count = 16
    layer_norm_eps: Positive = 1e-6


@dataclass(frozen=True)
class LanguageConfig:
    """A LLaDA language model: bidirectional, RMSNorm, rotary positions, gated SiLU MLP."""

    vocab_size: Count = 32000
    hidden_size: Count = 4096
    intermediate_size: Count = 11008
    num_hidden_layers: Count = 32
    num_attention_heads: Count = 32
    num_key_value_heads: Count = 32
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive = DEFAULT_BASE
    attention_bias: Flag = False

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
        denoising_steps: own key. Steps that the checkpoint is meant to run, at most.
        decoding: own key. What is masked again after a step: `schedule` is the published schedule,
            `confidence` what has less than a threshold of probability, see `model.denoiser`.
        decoding_threshold: own key. The threshold of `confidence`.
        image_token_id: the token whose places visual tokens take; None where only the tokenizer
            says it.
    """

    vision: VisionConfig
    language: LanguageConfig
    downsample_ratio: Positive = 0.5
    vision_select_layer: Layer = -2
    slots: Annotated[Count, Meta(title="prompt_numbers")] = 5
    roi_output_size: tuple[int, int] | None = None
    min_tiles: Annotated[Count, Meta(title="min_sub_img")] = 1
    max_tiles: Annotated[Count, Meta(title="max_sub_img")] = 6
    corrected_roi_replay: Flag = False
    prefix_sees_captions: Flag = True
    caption_tokens: Count = 32
    denoising_steps: Count = 32
    decoding: Decoding = "schedule"
    decoding_threshold: Probability = 0.9
    image_token_id: ImageToken = None

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
        limits = {key: processor[key] for key in _TILE_LIMITS if key in processor}
        values = {key: value for key, value in config.items() if key not in _TILE_LIMITS} | limits
        result = decode(
            values,
            cls,
            vision=_vision(config),
            language=_language(config),
            roi_output_size=_pair(config, "roi_output_size", None),
        )
        _check(result, config, processor, images or {})
        return result


def _vision(config: dict[str, Any]) -> VisionConfig:
    tower = section(section(config, VISION), "vision_config")
    pixels = {key: config.get(key, getattr(VisionConfig, key)) for key in _PIXELS}
    return decode({**tower, **pixels}, VisionConfig)


def _language(config: dict[str, Any]) -> LanguageConfig:
    language = section(config, LANGUAGE)
    if language.get("num_key_value_heads") is None:
        heads = language.get("num_attention_heads", LanguageConfig.num_attention_heads)
        language = {**language, "num_key_value_heads": heads}
    return decode(language, LanguageConfig, rope_theta=rope_base(config, language, LANGUAGE))


def _pair(values: dict[str, Any], key: str, default: int | None) -> tuple[int, int] | None:
    """Two whole numbers, of which one may stand for both; None for null."""
    value = values.get(key, default)
    if value is None:
        return None
    try:
        return convert(value if isinstance(value, list) else [value, value], tuple[Count, Count])
    except ValidationError as error:
        raise wrong(key, value, "one or two whole numbers from 1") from error


def _check(
    config: ModelConfig, raw: dict[str, Any], processor: dict[str, Any], images: dict[str, Any]
) -> None:
    vision, language = config.vision, config.language
    kernel = _pair(raw, "kernel_size", 16)
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
