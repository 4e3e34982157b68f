"""The checkpoint's configuration: defaults, keys of our own, and values of the wrong kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from any_json import JSON_VALUES
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import CONFIG

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import LanguageConfig, ModelConfig, VisionConfig


def read(config: Any, processor: dict[str, Any] | None = None) -> ModelConfig:
    return ModelConfig.from_dicts(config, processor or {})


def in_section(*path: str, **values: Any) -> dict[str, Any]:
    """`values` within nested sections."""
    for name in reversed(path):
        values = {name: values}
    return values


def test_missing_keys_are_the_published_defaults() -> None:
    assert read({}) == ModelConfig(
        vision=VisionConfig(768, 3072, 12, 12, 512, 16, 1e-6),
        language=LanguageConfig(32000, 4096, 11008, 32, 32, 32, 1e-6, 10000.0, False),
        downsample_ratio=0.5,
        vision_select_layer=-2,
        slots=5,
        roi_output_size=None,
        min_tiles=1,
        max_tiles=6,
        corrected_roi_replay=False,
        prefix_sees_captions=True,
        caption_tokens=32,
        denoising_steps=32,
        decoding="schedule",
        decoding_threshold=0.9,
    )


def test_keys_of_our_own() -> None:
    own = {"caption_tokens": 24, "denoising_steps": 8}
    own |= {"decoding": "confidence", "decoding_threshold": 0.8}
    own |= {"corrected_roi_replay": True, "prefix_sees_captions": False}
    assert vars(read(own)).items() >= own.items()


def test_key_value_heads_are_as_many_as_heads_where_not_said() -> None:
    heads = {"num_attention_heads": 8, "num_key_value_heads": None}
    assert read(in_section("language_model_config", **heads)).language.num_key_value_heads == 8


def test_roi_output_size_may_be_one_number_or_rows_and_columns() -> None:
    assert read({"roi_output_size": 4}).roi_output_size == (4, 4)
    assert read({"roi_output_size": [2, 3]}).roi_output_size == (2, 3)


def test_sizes_that_follow() -> None:
    config = read({"image_size": 512, "patch_size": 16})
    assert config.tile_size == 512 and config.patches_per_side == 32
    assert config.cells_per_side == 16 and config.tokens_per_tile == 256


def test_tile_limits_come_from_the_processor_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "processor_config.json").write_text('{"min_sub_img": 2, "max_sub_img": 9}')
    config = ModelConfig.from_folder(tmp_path)
    assert (config.min_tiles, config.max_tiles) == (2, 9)


VISION, LANGUAGE = ("vision_model_config", "vision_config"), ("language_model_config",)


WRONG: dict[tuple[str, ...], dict[str, tuple[Any, ...]]] = {
    (): {
        "image_size": ("512", 512.0, 0, 10**30),
        "patch_size": (0, None),
        "prompt_numbers": (True, -1),
        "roi_output_size": (True, 0, [1, 2, 3]),
        "kernel_size": ("ab",),
        "prefix_sees_captions": ("false",),
        "corrected_roi_replay": (1,),
        "downsample_ratio": (float("nan"),),
        "denoising_steps": (0,),
        "decoding": ("greedy", None),
        "decoding_threshold": (0, 1.5),
        "image_token_id": (-1, "<image>"),
        "caption_tokens": (float("inf"),),
        "vision_model_config": ([["vision_config", {}]],),
        "language_model_config": ("llada",),
    },
    VISION: {"num_attention_heads": (0,)},
    LANGUAGE: {"rope_theta": ("1e6",), "rms_norm_eps": (10**400,), "attention_bias": ("no",)},
}


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (path, key, value)
        for path, keys in WRONG.items()
        for key, values in keys.items()
        for value in values
    ],
    ids=lambda value: str(value)[:50],
)
def test_values_of_the_wrong_kind_are_named(path: tuple[str, ...], key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"says (\S+\.)?{key} is .*, expected"):
        read(in_section(*path, **{key: value}))


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"image_size": 500}, "image_size must be a multiple of patch_size"),
        ({"image_size": 48}, "must be even"),
        ({"downsample_ratio": 0.25}, "downsample_ratio must be 0.5"),
        ({"kernel_size": [14, 14]}, "kernel_size must equal patch_size"),
        ({"patch_size": 8}, "kernel_size must equal patch_size"),
        ({"prompt_numbers": 17}, "prompt_numbers must be"),
        ({"vision_select_layer": 12}, "vision_select_layer must name a layer"),
        ({"vision_select_layer": -13}, "vision_select_layer must name a layer"),
        (in_section(*VISION, num_attention_heads=7), "vision heads must divide its width"),
        (in_section(*LANGUAGE, num_attention_heads=3), "heads must divide the width"),
        (in_section(*LANGUAGE, num_key_value_heads=5), "num_key_value_heads must divide"),
        (in_section(*LANGUAGE, hidden_size=96), "width of a head must be even"),
        (in_section(*LANGUAGE, num_attention_heads=5000), "heads must divide the width"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_models_that_would_be_computed_wrongly_are_refused(
    config: dict[str, Any], rule: str
) -> None:
    with pytest.raises(CheckpointError, match=rule):
        read(config)


@pytest.mark.parametrize("limits", [{"min_sub_img": 7}, {"max_sub_img": 65}])
def test_tile_limits_must_make_sense(limits: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="min_sub_img <= max_sub_img"):
        read({}, limits)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", "[" * 100_000])
def test_files_that_hold_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        ModelConfig.from_folder(tmp_path)


@pytest.mark.parametrize("name", ["processor_config.json", "preprocessor_config.json"])
def test_a_link_to_nothing_is_not_taken_for_a_file_that_is_not_there(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).symlink_to(tmp_path / "blob that was not fetched")
    with pytest.raises(CheckpointError, match=f"{name} can't be read"):
        ModelConfig.from_folder(tmp_path)


def test_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json can't be read .*expected a check"):
        ModelConfig.from_folder(tmp_path)


@settings(max_examples=150)
@given(data=st.data())
def test_any_value_is_either_used_as_it_is_or_refused(data: st.DataObject) -> None:
    """A good config with one value, somewhere, replaced by anything that JSON can say."""
    config = json.loads(json.dumps(CONFIG))
    tower = config["vision_model_config"]
    sections = [config, tower, tower["vision_config"], config["language_model_config"]]
    where = data.draw(st.sampled_from(sections))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(JSON_VALUES)
    try:
        result = read(config)
    except CheckpointError:
        return
    assert result.tile_size == config.get("image_size", 512)
    assert result.slots == config.get("prompt_numbers", 5)
    assert result.tokens_per_tile == (result.tile_size // 32) ** 2
