"""Keys of a checkpoint's configuration that change what is computed and have one value here.

The keys that `ModelConfig` holds may have any value. Those of the tables below are known from other
models of the same families, and stand here with all values that give the computation of this
package; absent or null is always one of them. Keys in neither place change nothing and are let
through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from perceptiondlm_ros.model.json_values import section

if TYPE_CHECKING:
    from perceptiondlm_ros.model.config import ModelConfig

Rule = tuple[str, tuple[Any, ...], str]
"""Keys, the values that may come, and what is computed."""

LANGUAGE, VISION = "language_model_config", "vision_model_config"

_QUANTISED = ("quantization_config", "compression_config", "quantization", "quant_config")
_METHODS = ("quant_method", "quant_algo", "quantization_method", "format")


def faults(
    config: ModelConfig, raw: dict[str, Any], processor: dict[str, Any], images: dict[str, Any]
) -> Iterator[str]:
    """What the files say that is computed in another way here, each named with its value.

    Args:
        config: what `raw` and `processor` were read to.
        raw: `config.json`.
        processor: `processor_config.json`.
        images: `preprocessor_config.json`.

    Raises:
        CheckpointError: a section is no JSON object.
    """
    tower = section(raw, VISION)
    sections = (
        ("", raw, _of_all(config)),
        (f"{LANGUAGE}.", section(raw, LANGUAGE), _of_language(config, section(raw, LANGUAGE))),
        (f"{VISION}.", tower, _of_tower(config)),
        (f"{VISION}.vision_config.", section(tower, "vision_config"), _of_vision(config)),
        ("vision_abstractor_config.", section(raw, "vision_abstractor_config"), _PROJECTOR),
        ("processor_config.json: ", processor, _of_processor(config)),
        *(
            (name, values, _of_images(values))
            for name, values in _image_sections(processor, images)
        ),
    )
    for prefix, values, rules in sections:
        yield from _quantised(values, prefix)
        for keys, accepted, why in rules:
            yield from (
                f"{prefix}{key} is {values[key]!r:.60}, expected {_listed(accepted)} ({why})"
                for key in keys.split()
                if values.get(key) is not None
                and not any(_same(values[key], value) for value in accepted)
            )
    for name, values in _image_sections(processor, images):
        yield from _sizes(values, name, config.tile_size)


def _of_all(config: ModelConfig) -> tuple[Rule, ...]:
    elsewhere = f"the parts are described by {LANGUAGE} and {VISION}"
    return (
        ("model_type", ("pdmllm",), "the model is a PerceptionDLM"),
        ("num_image_token", (config.tokens_per_tile,), "it follows from image_size"),
        ("use_thumbnail", (True,), "a whole image follows its tiles"),
        ("text_config llm_config llm_model_config vision_config", (), elsewhere),
        *_PLAIN,
    )


_PLAIN: tuple[Rule, ...] = (
    ("is_encoder_decoder add_cross_attention", (False,), "there is one stack of layers"),
    ("pruned_heads per_layer_config", ({},), "all layers are alike"),
)
_PROJECTOR: tuple[Rule, ...] = (
    ("projection_type", ("mlp2x_gelu",), "two linear layers with GELU between"),
)


def _of_language(config: ModelConfig, raw: dict[str, Any]) -> tuple[Rule, ...]:
    language = config.language
    layers, width, base = language.num_hidden_layers, language.head_dim, language.rope_theta
    whole = "every layer attends to the whole sequence"
    windows: tuple[Rule, ...] = (("sliding_window", (), whole),)
    if raw.get("use_sliding_window") is False:
        windows = ()  # its width is kept, and not used
    return (
        ("model_type", ("llada",), "the language model is LLaDA"),
        ("block_type", ("llama",), "the blocks are those of Llama"),
        ("text_config", ({},), f"the language model is described by {LANGUAGE} itself"),
        ("norm_type layer_norm_type", ("rms", "rmsnorm", "rms_norm"), "norms are RMS norms"),
        (
            "norm_eps norm_epsilon layer_norm_eps layer_norm_epsilon layernorm_epsilon",
            (language.rms_norm_eps,),
            "rms_norm_eps is the one of all norms",
        ),
        ("layer_norm_with_affine", (True,), "norms have weights"),
        ("bias_for_layer_norm", (False,), "norms have no biases"),
        (
            "hidden_act hidden_activation activation_function activation_type",
            ("silu", "swish"),
            "SiLU gates the MLP",
        ),
        ("head_dim", (width,), "the heads share hidden_size"),
        ("d_model", (language.hidden_size,), "it is another name of hidden_size"),
        ("mlp_hidden_size", (language.intermediate_size,), "as intermediate_size"),
        ("n_layers num_layers", (layers,), "as num_hidden_layers"),
        ("n_heads", (language.num_attention_heads,), "as num_attention_heads"),
        ("n_kv_heads", (language.num_key_value_heads,), "as num_key_value_heads"),
        (
            "multi_query_attention",
            (language.num_key_value_heads == 1,),
            "num_key_value_heads says how many there are",
        ),
        ("mlp_bias use_mlp_bias", (False,), "the MLP has no bias"),
        (
            "qkv_bias use_qkv_bias use_bias include_bias include_qkv_bias attention_out_bias",
            (language.attention_bias,),
            "attention_bias says whether attention has biases",
        ),
        ("tie_word_embeddings weight_tying", (False,), "the head has its own weights"),
        *windows,
        ("use_sliding_window", (False,), whole),
        ("layer_types", (["full_attention"] * layers, []), whole),
        ("attention_chunk_size", (), whole),
        ("is_causal", (False,), whole),
        ("use_bidirectional_attention", (True,), whole),
        (
            "attn_logit_softcapping final_logit_softcapping attn_logit_softcap "
            "final_logit_softcap clip_qkv",
            (),
            "nothing is capped",
        ),
        (
            "logit_scale logits_scaling lm_head_multiplier embedding_multiplier scale_emb "
            "residual_multiplier rope_ratio partial_rotary_factor rotary_pct",
            (1,),
            "nothing is scaled, and heads are rotated as a whole",
        ),
        ("scale_depth dim_model_base", (), "nothing is scaled"),
        ("scale_logits scale_embedding input_emb_norm", (False,), "nothing is scaled"),
        ("attention_multiplier", (width**-0.5,), "one over the root of a head's width"),
        ("query_pre_attn_scalar", (width,), "the width of a head"),
        ("qk_norm use_qk_norm qk_layernorm attention_layer_norm", (False,), "no such norm"),
        ("use_parallel_residual parallel_attn", (False,), "the MLP follows attention"),
        ("alibi", (False,), "positions are rotary"),
        ("rope use_rope", (True,), "positions are rotary"),
        ("attn_temperature_tuning", (False,), "nothing is scaled"),
        ("position_embedding_type", ("rope",), "positions are rotary"),
        ("rope_interleaved rope_interleave", (False,), "a head's halves are rotated"),
        ("no_rope_layers", ([1] * layers, []), "every layer rotates"),
        (
            "rotary_emb_base rope_local_base_freq local_rope_theta global_rope_theta",
            (base,),
            "rope_theta is the one base of the rotation",
        ),
        (
            "num_experts num_local_experts n_routed_experts moe_num_experts num_experts_per_tok "
            "n_shared_experts num_shared_experts moe_intermediate_size "
            "shared_expert_intermediate_size",
            (0,),
            "there are no experts",
        ),
        ("q_lora_rank kv_lora_rank", (), "keys and values are not compressed"),
        ("pretraining_tp", (1,), "products are computed as a whole"),
        *_PLAIN,
    )


def _of_tower(config: ModelConfig) -> tuple[Rule, ...]:
    return (
        ("model_type", ("siglip",), "the vision tower is SigLIP"),
        ("hidden_size", (config.vision.hidden_size,), "as vision_config.hidden_size"),
    )


def _of_vision(config: ModelConfig) -> tuple[Rule, ...]:
    vision = config.vision
    return (
        ("model_type", ("siglip_vision_model",), "the vision tower is SigLIP"),
        ("hidden_act", ("gelu_pytorch_tanh",), "vision hidden_act is GELU by tanh"),
        ("num_channels", (3,), "images are RGB"),
        ("image_size", (vision.image_size,), "as image_size of the model"),
        ("patch_size", (vision.patch_size,), "as patch_size of the model"),
        ("head_dim", (vision.hidden_size // vision.num_attention_heads,), "heads share the width"),
        ("num_key_value_heads", (vision.num_attention_heads,), "each head has its own"),
        ("attention_bias qkv_bias mlp_bias use_bias", (True,), "all products have biases"),
        ("qk_norm use_qk_norm interpolate_pos_encoding", (False,), "SigLIP has none"),
        ("rope_theta rope_parameters rope_scaling", (), "positions are learned"),
        *_PLAIN,
    )


def _of_processor(config: ModelConfig) -> tuple[Rule, ...]:
    side = config.tile_size
    return (
        ("image_size", (side, [side, side]), "as image_size of config.json"),
        ("patch_size", (config.vision.patch_size,), "as patch_size of config.json"),
        ("downsample_ratio", (config.downsample_ratio,), "as in config.json"),
        ("use_thumbnail", (True,), "a whole image follows its tiles"),
        ("image_token", ("<IMG_CONTEXT>",), "the token of the sequence"),
        ("image_start_token", ("<img>",), "the token of the sequence"),
        ("image_end_token", ("</img>",), "the token of the sequence"),
    )


def _image_sections(
    processor: dict[str, Any], images: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What says how pixels are prepared: a file of its own, or a section with transformers 5."""
    yield "preprocessor_config.json: ", images
    yield "processor_config.json: image_processor.", section(processor, "image_processor")


def _of_images(raw: dict[str, Any]) -> tuple[Rule, ...]:
    kinds = ("SiglipImageProcessor", "SiglipImageProcessorFast", "SiglipImageProcessorPil")
    return (
        ("image_processor_type", kinds, "pixels are prepared as for SigLIP"),
        ("do_rescale do_normalize", (True,), "pixels become -1 to 1"),
        ("rescale_factor", (1 / 255,), "pixels become -1 to 1"),
        ("image_mean image_std", ([0.5, 0.5, 0.5], 0.5), "pixels become -1 to 1"),
        ("do_pad do_flip_channel_order do_grayscale", (False,), "tiles are taken as they are"),
    )


def _sizes(raw: dict[str, Any], prefix: str, side: int) -> Iterator[str]:
    """Sizes that tiles would be brought to, where that is another one than they have."""
    for switch, key, usual in (("do_resize", "size", True), ("do_center_crop", "crop_size", False)):
        wanted, done = raw.get(key), raw.get(switch)
        if done is not None and not isinstance(done, bool):
            yield f"{prefix}{switch} is {done!r:.60}, expected true or false"
        if wanted is None or not (usual if done is None else done):
            continue
        sides = [*wanted.values()] if isinstance(wanted, dict) else [wanted]
        if not sides or not all(_same(value, side) for value in sides):
            yield f"{prefix}{key} is {wanted!r:.60}, expected {side} (as image_size of config.json)"


def _quantised(raw: dict[str, Any], prefix: str) -> Iterator[str]:
    for key in _QUANTISED:
        found = raw.get(key)
        if found is None or found == {}:
            continue
        named = [found.get(name) for name in _METHODS] if isinstance(found, dict) else [found]
        method = next((name for name in named if name is not None), "of an unnamed method")
        yield (
            f"{prefix}{key} is {method!r:.60}, expected none (weights that are quantised can't be "
            "read; take the checkpoint that they were made from)"
        )


def _same(value: Any, accepted: Any) -> bool:
    """Equal, and no number for true or false."""
    if isinstance(value, bool) or isinstance(accepted, bool):
        return value is accepted
    if isinstance(value, float) and isinstance(accepted, (int, float)):
        return math.isclose(value, accepted, rel_tol=1e-6)  # some were written from fp32
    return bool(value == accepted)


def _listed(accepted: tuple[Any, ...]) -> str:
    return " or ".join(repr(value)[:60] for value in accepted) or "none"
