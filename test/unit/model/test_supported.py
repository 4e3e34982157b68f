"""Keys that other models of the same families have: harmless ones pass, others are named."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from any_json import JSON_VALUES
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import CONFIG

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig

LANGUAGE, TOWER = "language_model_config", "vision_model_config"
WHERE: dict[str, tuple[str, ...]] = {
    "top": (),
    "language": (LANGUAGE,),
    "tower": (TOWER,),
    "vision": (TOWER, "vision_config"),
    "projector": ("vision_abstractor_config",),
}


def with_key(where: str, **values: Any) -> dict[str, Any]:
    """The tiny config with other values in one of its sections."""
    config = copy.deepcopy(CONFIG)
    found = config
    for name in WHERE[where]:
        found = found.setdefault(name, {})
    found.update(values)
    return config


def read(config: dict[str, Any], processor: Any = None, images: Any = None) -> ModelConfig:
    return ModelConfig.from_dicts(config, processor or {}, images)


EXPECTED = read(CONFIG)
HARMLESS = json.loads("""
{"architectures": ["PDMLLM"], "transformers_version": "5.24.0", "dtype": "bfloat16",
"torch_dtype": null, "use_cache": true, "initializer_range": 0.02, "attention_dropout": 0.1,
"hidden_dropout": 0.5, "bos_token_id": 1, "eos_token_id": [1, 2], "max_position_embeddings": 4096,
"auto_map": {"AutoConfig": "configuration_pdmllm.PDMLLMConfig"}, "quantization_config": null,
"pruned_heads": {}, "is_encoder_decoder": false, "a key of tomorrow": {"whatever": 1}}
""")


@pytest.mark.parametrize("where", WHERE)
def test_keys_that_change_nothing_pass_everywhere(where: str) -> None:
    assert read(with_key(where, **HARMLESS)) == EXPECTED


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ("top", {"tie_word_embeddings": True}),  # of the whole, which has no head of its own
        ("top", {"model_type": "pdmllm", "num_image_token": 4, "image_token_id": None}),
        ("language", {"model_type": "llada", "hidden_act": "silu", "head_dim": 8}),
        ("language", {"head_dim": None, "rope_scaling": None, "mlp_bias": None}),
        ("language", {"mlp_bias": False, "tie_word_embeddings": False, "pretraining_tp": 1}),
        ("language", {"sliding_window": None, "use_sliding_window": False}),
        ("language", {"sliding_window": 4096, "use_sliding_window": False}),
        ("language", {"layer_types": ["full_attention"] * 2, "max_window_layers": 2}),
        ("language", {"num_experts": 0, "logits_scaling": 1.0, "qk_norm": False}),
        ("language", {"multi_query_attention": None, "bias_for_layer_norm": False}),
        ("language", {"text_config": {}, "layer_norm_eps": 1e-6, "layer_norm_with_affine": True}),
        ("language", {"attention_multiplier": 8**-0.5, "query_pre_attn_scalar": 8}),
        ("vision", {"image_size": 64, "patch_size": 16, "num_channels": 3, "head_dim": 8}),
        ("vision", {"hidden_act": "gelu_pytorch_tanh", "vision_use_head": True}),
        ("tower", {"model_type": "siglip", "hidden_size": 16, "initializer_factor": 1.0}),
        ("projector", {"projection_type": "mlp2x_gelu"}),
    ],
    ids=str,
)
def test_values_that_are_what_is_computed_pass(where: str, values: dict[str, Any]) -> None:
    assert read(with_key(where, **values)) == EXPECTED


REFUSED = json.loads("""
{"top": {"model_type": ["llava"], "num_image_token": [256], "text_config": [{"hidden_size": 32}],
    "llm_config": [{}], "use_thumbnail": [false]},
"language": {"model_type": ["llama"], "hidden_act": ["gelu"], "mlp_bias": [true, "false", 0],
    "hidden_activation": ["gelu_pytorch_tanh"], "head_dim": [16], "qkv_bias": [true],
    "tie_word_embeddings": [true], "sliding_window": [4096], "use_sliding_window": [true],
    "layer_types": [["sliding_attention", "full_attention"], ["full_attention"]],
    "attention_chunk_size": [8192], "attn_logit_softcapping": [50.0], "logits_scaling": [8.0, true],
    "final_logit_softcapping": [30.0], "residual_multiplier": [0.22], "embedding_multiplier": [12],
    "attention_multiplier": [1.0], "query_pre_attn_scalar": [256], "scale_depth": [1.4],
    "num_experts": [8], "num_local_experts": [8], "num_experts_per_tok": [2],
    "pretraining_tp": [2], "qk_norm": [true], "partial_rotary_factor": [0.5],
    "rope_local_base_freq": [1e6], "no_rope_layers": [[1, 0]], "alibi": [true],
    "is_causal": [true], "pruned_heads": [{"0": [1]}], "d_model": [4096],
    "per_layer_config": [{"0": {"hidden_size": 8}}], "text_config": [{"rope_theta": 1e4}],
    "layer_norm_eps": [1e-3], "norm_eps": [1e-3], "layer_norm_with_affine": [false],
    "bias_for_layer_norm": [true], "multi_query_attention": [true], "use_rope": [false],
    "attn_temperature_tuning": [true], "kv_lora_rank": [512]},
"vision": {"model_type": ["siglip2_vision_model"], "hidden_act": ["quick_gelu"],
    "num_channels": [1], "image_size": [224], "patch_size": [14], "head_dim": [16],
    "attention_bias": [false], "rope_theta": [1e4]},
"tower": {"model_type": ["clip"], "hidden_size": [1152]},
"projector": {"projection_type": ["mlp3x_gelu", "linear"]}}
""")


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (where, key, value)
        for where, keys in REFUSED.items()
        for key, values in keys.items()
        for value in values
    ],
)
def test_what_is_computed_in_another_way_is_refused_by_name(
    where: str, key: str, value: Any
) -> None:
    name = re.escape(".".join([*WHERE[where], key]))
    came = re.escape(repr(value)[:60])
    with pytest.raises(CheckpointError, match=f"(: |; ){name} is {came}, expected "):
        read(with_key(where, **{key: value}))


@pytest.mark.parametrize("where", ["top", "language", "tower", "vision"])
@pytest.mark.parametrize(
    ("key", "value", "method"),
    [
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ("quantization_config", {"load_in_4bit": True}, "unnamed"),
        ("compression_config", {"format": "float-quantized"}, "float-quantized"),
        ("quantization", "awq", "awq"),
    ],
)
def test_quantised_checkpoints_are_refused_by_their_method(
    where: str, key: str, value: Any, method: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{key} is '?.*{method}.*quantised can't be read"):
        read(with_key(where, **{key: value}))


def test_every_fault_is_told_at_once() -> None:
    config = with_key("language", mlp_bias=True, sliding_window=128) | {"model_type": "llava"}
    with pytest.raises(CheckpointError) as raised:
        read(config, images={"do_rescale": False})
    for name in ("mlp_bias", "sliding_window", "model_type", "do_rescale"):
        assert name in str(raised.value)


IMAGES = json.loads("""
{"image_processor_type": "SiglipImageProcessor", "do_convert_rgb": null, "do_normalize": true,
"do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
"resample": 2, "rescale_factor": 0.00392156862745098, "size": {"height": 64, "width": 64}}
""")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resample": 3, "do_convert_rgb": True},  # of no use where the size is right and RGB comes
        {"do_resize": False, "size": {"height": 384, "width": 384}},
        {"size": 64},
        {"size": {"shortest_edge": 64}},
        {"do_center_crop": None, "crop_size": {"height": 224, "width": 224}},
        {"rescale_factor": 0.003921568859368563},  # 1 / 255 in fp32
        {"image_processor_type": "SiglipImageProcessorFast", "data_format": "channels_first"},
    ],
    ids=str,
)
def test_pixels_that_are_prepared_as_here_pass(changes: dict[str, Any]) -> None:
    assert read(CONFIG, images=IMAGES | changes) == EXPECTED
    assert read(CONFIG, {"image_processor": IMAGES | changes}) == EXPECTED


OTHER_IMAGES = {
    "image_mean": ([0.48145466, 0.4578275, 0.40821073], "0.5"),
    "image_std": ([0.27, 0.26, 0.28], 1.0),
    "rescale_factor": (1.0,),
    "do_rescale": (False,),
    "do_normalize": (False, 1),
    "do_resize": ("no",),
    "size": ({"height": 384, "width": 384}, {"height": 64, "width": 32}, [64]),
    "do_pad": (True,),
    "image_processor_type": ("Siglip2ImageProcessor",),
}


@pytest.mark.parametrize(
    "changes",
    [
        *({key: value} for key, values in OTHER_IMAGES.items() for value in values),
        {"crop_size": {"height": 32, "width": 32}, "do_center_crop": True},
    ],
    ids=str,
)
def test_pixels_that_are_prepared_in_another_way_are_refused(changes: dict[str, Any]) -> None:
    key, value = next(iter(changes.items()))
    for processor, images, where in (
        ({}, IMAGES | changes, "preprocessor_config.json: "),
        ({"image_processor": IMAGES | changes}, {}, "processor_config.json: image_processor."),
    ):
        with pytest.raises(CheckpointError, match=re.escape(f"{where}{key} is {value!r}")):
            read(CONFIG, processor, images)


@pytest.mark.parametrize(
    ("processor", "passes"),
    [
        ({"image_size": [64, 64], "patch_size": 16, "downsample_ratio": 0.5}, True),
        ({"image_size": 64, "processor_class": "PDMLLMProcessor"}, True),
        ({"image_token": "<IMG_CONTEXT>", "image_start_token": "<img>"}, True),
        ({"image_size": [128, 128]}, False),
        ({"image_size": [64, 32]}, False),
        ({"patch_size": 14}, False),
        ({"downsample_ratio": 1.0}, False),
        ({"image_token": "<image>"}, False),
        ({"image_processor": [1]}, False),
    ],
    ids=str,
)
def test_the_processor_must_agree_with_the_model(processor: dict[str, Any], passes: bool) -> None:
    if passes:
        assert read(CONFIG, processor) == EXPECTED
        return
    with pytest.raises(CheckpointError, match=next(iter(processor))):
        read(CONFIG, processor)


KNOWN = st.sampled_from(
    [
        *("hidden_size", "num_attention_heads", "head_dim", "num_hidden_layers", "image_size"),
        *("mlp_bias", "layer_types", "sliding_window", "use_sliding_window", "model_type"),
        *("rope_theta", "rope_parameters", "quantization_config", "attention_multiplier"),
        *("pruned_heads", "num_key_value_heads", "patch_size", "rms_norm_eps", "vision_config"),
        *("text_config", "language_model_config", "vision_model_config", "image_processor"),
        *("size", "crop_size", "do_center_crop", "image_mean", "rescale_factor", "max_sub_img"),
    ]
)


@settings(max_examples=200)
@given(
    where=st.sampled_from(sorted(WHERE)),
    changes=st.dictionaries(KNOWN, JSON_VALUES, max_size=3),
    processor=st.dictionaries(KNOWN, JSON_VALUES, max_size=2),
    images=st.dictionaries(KNOWN, JSON_VALUES, max_size=2),
)
def test_any_configuration_is_read_or_refused_by_a_key_that_it_has(
    where: str, changes: dict[str, Any], processor: dict[str, Any], images: dict[str, Any]
) -> None:
    refusal = ""
    try:
        read(with_key(where, **changes), processor, images)
    except CheckpointError as error:
        refusal = str(error)
    words = {"heads", "width", "patches", "layer", "min_sub_img", "vision_config"}
    named = {*changes, *processor, *images} | words
    assert not refusal or any(name in refusal for name in named)
