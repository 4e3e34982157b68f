"""The published files' tensors: their names and shapes, and which of our parameters they make up.

The one key table. It imports no torch, so that a checkpoint can be checked where torch isn't.
"""

from __future__ import annotations

from perceptiondlm_ros.model.config import ModelConfig

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

Shape = tuple[int, ...]

_VISION, _LANGUAGE = "vision_model.vision_model.", "language_model."

_VISION_LAYER = {
    "attention_norm": ("layer_norm1",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": ("self_attn.out_proj",),
    "mlp_norm": ("layer_norm2",),
    "up": ("mlp.fc1",),
    "down": ("mlp.fc2",),
}
_LANGUAGE_LAYER = {
    "attention_norm": ("input_layernorm",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": ("self_attn.o_proj",),
    "mlp_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
_OTHERS = {
    "vision.patch_embedding": f"{_VISION}embeddings.patch_embedding",
    "vision.position_embedding": f"{_VISION}embeddings.position_embedding.weight",
    "vision.post_norm": f"{_VISION}post_layernorm",
    "mask_id_embedding": "mask_id_embedding",
    "projector.first": "vision_abstractor.projection.0",
    "projector.second": "vision_abstractor.projection.2",
    "language.embed_tokens": f"{_LANGUAGE}model.embed_tokens",
    "language.norm": f"{_LANGUAGE}model.norm",
    "language.lm_head": f"{_LANGUAGE}lm_head",
}
_UNUSED = (
    "vision_model.text_model.",
    "vision_model.logit_",
    f"{_VISION}head.",
    f"{_VISION}post_layernorm.",
)
"""Tensors that the published files hold and the computation does not use."""


def published_names(name: str) -> tuple[str, ...]:
    """The published tensors that make up our parameter, in order, stacked along the first axis."""
    if name in _OTHERS:
        return (_OTHERS[name],)
    module, _, kind = name.rpartition(".")
    if module in _OTHERS:
        return (f"{_OTHERS[module]}.{kind}",)
    tower, _, rest = module.partition(".layers.")
    index, _, part = rest.partition(".")
    if tower == "vision":
        prefix, table = f"{_VISION}encoder.layers.", _VISION_LAYER
    else:
        prefix, table = f"{_LANGUAGE}model.layers.", _LANGUAGE_LAYER
    return tuple(f"{prefix}{index}.{source}.{kind}" for source in table[part])


def is_unused(name: str, config: ModelConfig) -> bool:
    """Whether the published files may hold a tensor although the computation doesn't use it."""
    layers = range(config.vision.num_hidden_layers)
    skipped = layers[layers[config.vision_select_layer] + 1 :]
    prefixes = tuple(f"{_VISION}encoder.layers.{index}." for index in skipped)
    return name.startswith(_UNUSED + prefixes)


def published_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Name and shape of every tensor that the computation uses."""
    return {
        name: shape
        for ours, shapes in _parameters(config).items()
        for name, shape in zip(published_names(ours), shapes, strict=True)
    }


def _parameters(config: ModelConfig) -> dict[str, list[Shape]]:
    """Our parameters, each with the shapes of the published tensors that make it up."""
    vision, language = config.vision, config.language
    width, patch = vision.hidden_size, vision.patch_size
    shapes: dict[str, list[Shape]] = {
        "vision.patch_embedding.weight": [(width, 3, patch, patch)],
        "vision.patch_embedding.bias": [(width,)],
        "vision.position_embedding": [(config.patches_per_side**2, width)],
        "mask_id_embedding.weight": [(config.slots, width)],
        **_linear("projector.first", [(language.hidden_size, 4 * width)]),
        **_linear("projector.second", [(language.hidden_size, language.hidden_size)]),
        "language.embed_tokens.weight": [(language.vocab_size, language.hidden_size)],
        "language.norm.weight": [(language.hidden_size,)],
        "language.lm_head.weight": [(language.vocab_size, language.hidden_size)],
    }
    if config.vision_select_layer == -1:
        shapes |= _norm("vision.post_norm", width)
    for index in range(range(vision.num_hidden_layers)[config.vision_select_layer] + 1):
        shapes |= _vision_layer(f"vision.layers.{index}", config)
    for index in range(language.num_hidden_layers):
        shapes |= _language_layer(f"language.layers.{index}", config)
    return shapes


def _vision_layer(name: str, config: ModelConfig) -> dict[str, list[Shape]]:
    width, inner = config.vision.hidden_size, config.vision.intermediate_size
    return {
        **_norm(f"{name}.attention_norm", width),
        **_linear(f"{name}.attention.qkv", [(width, width)] * 3),
        **_linear(f"{name}.attention.out", [(width, width)]),
        **_norm(f"{name}.mlp_norm", width),
        **_linear(f"{name}.up", [(inner, width)]),
        **_linear(f"{name}.down", [(width, inner)]),
    }


def _language_layer(name: str, config: ModelConfig) -> dict[str, list[Shape]]:
    language = config.language
    width, inner, biased = language.hidden_size, language.intermediate_size, language.attention_bias
    kv = language.num_key_value_heads * language.head_dim
    return {
        f"{name}.attention_norm.weight": [(width,)],
        **_linear(f"{name}.attention.qkv", [(width, width), (kv, width), (kv, width)], biased),
        **_linear(f"{name}.attention.out", [(width, width)], biased),
        f"{name}.mlp_norm.weight": [(width,)],
        **_linear(f"{name}.gate_up", [(inner, width)] * 2, False),
        **_linear(f"{name}.down", [(width, inner)], False),
    }


def _norm(name: str, width: int) -> dict[str, list[Shape]]:
    return {f"{name}.weight": [(width,)], f"{name}.bias": [(width,)]}


def _linear(name: str, weights: list[Shape], biased: bool = True) -> dict[str, list[Shape]]:
    found = {f"{name}.weight": weights}
    if biased:
        found[f"{name}.bias"] = [shape[:1] for shape in weights]
    return found
