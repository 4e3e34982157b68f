"""The base of the rotary positions, in the words of transformers 4 and 5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from any_json import JSON_VALUES
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import CONFIG, picture, rectangle, save_checkpoint

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig

DEFAULT: dict[str, Any] = {"rope_theta": 5e5, "rope_type": "default"}


def base(language: dict[str, Any], **top: Any) -> float:
    config = ModelConfig.from_dicts({"language_model_config": language, **top}, {})
    return config.language.rope_theta


@pytest.mark.parametrize(
    "language",
    [
        {"rope_theta": 5e5},
        {"rope_theta": 500000},
        {"rope_theta": 5e5, "rope_scaling": None, "rope_parameters": None},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "default"}},
        {"rope_theta": 5e5, "rope_scaling": {"type": "default", "factor": 1.0}},
        {"rope_theta": 5e5, "rope_scaling": {}},
        {"rope_parameters": DEFAULT},
        {"rope_parameters": {"rope_theta": 5e5}},
        {"rope_parameters": {**DEFAULT, "type": "default", "partial_rotary_factor": 1.0}},
        {"rope_parameters": {**DEFAULT, "factor": None, "attention_factor": None}},
        {"rope_parameters": {**DEFAULT, "original_max_position_embeddings": 4096}},
        {"rope_parameters": DEFAULT, "rope_theta": 5e5},
        {"rope_parameters": DEFAULT, "rope_theta": None},
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 5e5},
        {"rope_parameters": DEFAULT, "rope_scaling": DEFAULT},
        {"rope_scaling": DEFAULT},
        {"rope_parameters": {"full_attention": DEFAULT}},
        {"rope_parameters": {"full_attention": DEFAULT, "sliding_attention": DEFAULT}},
        {"rope_parameters": {"full_attention": DEFAULT, "sliding_attention": None}},
        {"rope_parameters": {"rope_theta": None}, "rope_theta": 5e5},
    ],
    ids=str,
)
def test_every_way_of_writing_the_base(language: dict[str, Any]) -> None:
    assert base(language) == 5e5


def test_nothing_said_is_the_published_default() -> None:
    assert base({}) == base({"rope_parameters": {"rope_type": "default"}}) == 10000.0


def test_outside_of_the_section_it_may_only_be_repeated() -> None:
    assert base({"rope_parameters": DEFAULT}, rope_theta=5e5, rope_parameters=DEFAULT) == 5e5
    assert base({"rope_parameters": DEFAULT}, rope_theta=None, rope_parameters=None) == 5e5
    with pytest.raises(CheckpointError, match=r"rope_theta is 500000.0 and rope_theta is 1000000"):
        base({"rope_parameters": DEFAULT}, rope_theta=1e6)
    with pytest.raises(
        CheckpointError, match=r"where it is not said, is 10000\.0 and rope_theta is"
    ):
        base({}, rope_theta=5e5)


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        (
            {"rope_theta": 1e4, "rope_parameters": DEFAULT},
            "rope_parameters.rope_theta is 500000.0",
            "rope_theta is 10000.0",
        ),
        (
            {"rope_scaling": {"rope_theta": 2e5}, "rope_parameters": DEFAULT},
            "rope_parameters.rope_theta is 500000.0",
            "rope_scaling.rope_theta is 200000.0",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": DEFAULT},
            "rope_parameters.rope_type is 'default'",
            "rope_scaling.type is 'linear'",
        ),
        (
            {"rope_parameters": {"rope_type": "default", "type": "yarn"}},
            "rope_parameters.rope_type is 'default'",
            "rope_parameters.type is 'yarn'",
        ),
        (
            {"rope_parameters": {"full_attention": DEFAULT, "sliding": {"rope_theta": 1e4}}},
            "full_attention.rope_theta is 500000.0",
            "sliding.rope_theta is 10000.0",
        ),
    ],
    ids=str,
)
def test_contradictions_are_refused_with_both_values(
    language: dict[str, Any], first: str, second: str
) -> None:
    with pytest.raises(CheckpointError) as raised:
        base(language)
    assert first in str(raised.value) and second in str(raised.value)


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("name", ["rope_type", "type"])
@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope", "llama3", "su", 7, []])
def test_other_rotations_are_refused_by_name(key: str, name: str, kind: Any) -> None:
    with pytest.raises(CheckpointError, match=rf"{key}\.{name} is .*, expected 'default'"):
        base({key: {name: kind, "rope_theta": 5e5, "factor": 4.0}})


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"factor": 4.0}, "rope_parameters.factor is 4.0, expected 1"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5, expected 1"),
        ({"partial_rotary_factor": True}, "partial_rotary_factor is True, expected 1"),
        ({"mrope_section": [16, 24, 24]}, "mrope_section is .*, expected null"),
        ({"rope_theta": "500000"}, "rope_parameters.rope_theta is '500000', expected a number"),
        ({"rope_theta": True}, "rope_theta is True, expected a number"),
        ({"rope_theta": None}, "rope_parameters.rope_theta is None, expected a number"),
        ({"rope_theta": float("nan")}, "rope_theta is nan, expected a number"),
        ({"rope_theta": -1.0}, "rope_theta is -1.0, expected a number"),
        ({"full_attention": {"rope_type": "yarn"}}, "full_attention.rope_type is 'yarn'"),
        ([5e5], "rope_parameters is .*, expected a JSON object or null"),
        ("default", "rope_parameters is 'default', expected a JSON object or null"),
    ],
    ids=str,
)
def test_values_that_are_computed_in_another_way_are_named(parameters: Any, named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        base({"rope_parameters": parameters})


keys = st.sampled_from(["rope_theta", "rope_type", "type", "factor", "full_attention", "mrope"])
parameters = JSON_VALUES | st.dictionaries(keys, JSON_VALUES | st.sampled_from([5e5, "default", 1]))


@given(
    language=st.fixed_dictionaries(
        {}, optional={"rope_theta": JSON_VALUES, "rope_scaling": parameters}
    ),
    rope=parameters,
)
def test_anything_is_either_a_base_or_an_error_that_names_the_key(
    language: dict[str, Any], rope: Any
) -> None:
    refusal = ""
    try:
        assert 0 < base({**language, "rope_parameters": rope}) < 1e30
    except CheckpointError as error:
        refusal = str(error)
    assert not refusal or "rope" in refusal


def test_captions_are_the_same_however_the_base_is_written(tmp_path: Path) -> None:
    captions = {}
    image, mask = picture(48, 64), rectangle(48, 64, (10, 10, 40, 40))
    for name, written in {
        "old": {"rope_theta": 5e5},
        "new": {"rope_parameters": DEFAULT, "dtype": "bfloat16"},
        "both": {"rope_parameters": DEFAULT, "rope_theta": 5e5},
        "none": {},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        save_checkpoint(folder)
        language = {**CONFIG["language_model_config"], **written}
        (folder / "config.json").write_text(
            json.dumps({**CONFIG, "language_model_config": language})
        )
        with torch.inference_mode():
            captions[name] = Captioner.load(folder, device="cpu").describe(image, [mask])[0]
    assert captions["old"].token_ids == captions["new"].token_ids == captions["both"].token_ids
    assert captions["old"] != captions["none"]  # else the base would make no difference here
