"""The published files' tensors: their names and shapes, and which of our parameters they make up.

The one key table. It imports no torch, so that a checkpoint can be checked where torch isn't.
"""

from __future__ import annotations

from collections.abc import Iterator

from perceptiondlm_ros.model.config import ModelConfig

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

Shape = tuple[int, ...]

_VISION, _LANGUAGE = "vision_model.vision_model.", "language_model."
_UNUSED = (
    "vision_model.text_model.",
    "vision_model.logit_",
    f"{_VISION}head.",
    f"{_VISION}post_layernorm.",
)
"""Tensors that the published files hold and the computation does not use."""


def published_parameters(config: ModelConfig) -> dict[str, dict[str, Shape]]:
    """Our parameters by name, each with the published tensors that make it up: names and shapes, in
    the order in which they are stacked along the first axis."""
    positions: Shape = (config.patches_per_side**2, config.vision.hidden_size)
    found = {
        "vision.position_embedding": {f"{_VISION}embeddings.position_embedding.weight": positions}
    }
    for modules in (_vision_modules(config), _language_modules(config)):
        for ours, weights, biased in modules:
            found[f"{ours}.weight"] = {f"{name}.weight": shape for name, shape in weights.items()}
            if biased:
                found[f"{ours}.bias"] = {f"{n}.bias": shape[:1] for n, shape in weights.items()}
    return found


def published_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Name and shape of every published tensor that the computation uses."""
    parts = published_parameters(config).values()
    return {name: shape for tensors in parts for name, shape in tensors.items()}


def is_unused(name: str, config: ModelConfig) -> bool:
    """Whether the published files may hold a tensor although the computation doesn't use it."""
    skipped = range(_used_vision_layers(config), config.vision.num_hidden_layers)
    return name.startswith((*_UNUSED, *(f"{_VISION}encoder.layers.{i}." for i in skipped)))


def _used_vision_layers(config: ModelConfig) -> int:
    return range(config.vision.num_hidden_layers)[config.vision_select_layer] + 1


Module = tuple[str, dict[str, Shape], bool]
"""Our name, the published modules with their weights' shapes, and whether they have biases."""


def _vision_modules(config: ModelConfig) -> Iterator[Module]:
    width, inner = config.vision.hidden_size, config.vision.intermediate_size
    out = config.language.hidden_size
    square: Shape = (width, width)
    patch = (width, 3, config.vision.patch_size, config.vision.patch_size)
    yield "vision.patch_embedding", {f"{_VISION}embeddings.patch_embedding": patch}, True
    yield "mask_id_embedding", {"mask_id_embedding": (config.slots, width)}, False
    yield "projector.first", {"vision_abstractor.projection.0": (out, 4 * width)}, True
    yield "projector.second", {"vision_abstractor.projection.2": (out, out)}, True
    if config.vision_select_layer == -1:
        yield "vision.post_norm", {f"{_VISION}post_layernorm": (width,)}, True
    for index in range(_used_vision_layers(config)):
        ours, theirs = f"vision.layers.{index}", f"{_VISION}encoder.layers.{index}"
        qkv = {f"{theirs}.self_attn.{part}_proj": square for part in "qkv"}
        yield f"{ours}.attention_norm", {f"{theirs}.layer_norm1": (width,)}, True
        yield f"{ours}.attention.qkv", qkv, True
        yield f"{ours}.attention.out", {f"{theirs}.self_attn.out_proj": square}, True
        yield f"{ours}.mlp_norm", {f"{theirs}.layer_norm2": (width,)}, True
        yield f"{ours}.up", {f"{theirs}.mlp.fc1": (inner, width)}, True
        yield f"{ours}.down", {f"{theirs}.mlp.fc2": (width, inner)}, True


def _language_modules(config: ModelConfig) -> Iterator[Module]:
    language = config.language
    width, inner, biased = language.hidden_size, language.intermediate_size, language.attention_bias
    kv: Shape = (language.num_key_value_heads * language.head_dim, width)
    heads: dict[str, Shape] = {"q": (width, width), "k": kv, "v": kv}
    gate: Shape = (inner, width)
    vocabulary = (language.vocab_size, width)
    yield "language.embed_tokens", {f"{_LANGUAGE}model.embed_tokens": vocabulary}, False
    yield "language.norm", {f"{_LANGUAGE}model.norm": (width,)}, False
    yield "language.lm_head", {f"{_LANGUAGE}lm_head": vocabulary}, False
    for index in range(language.num_hidden_layers):
        ours, theirs = f"language.layers.{index}", f"{_LANGUAGE}model.layers.{index}"
        qkv = {f"{theirs}.self_attn.{part}_proj": shape for part, shape in heads.items()}
        gates = {f"{theirs}.mlp.{part}_proj": gate for part in ("gate", "up")}
        yield f"{ours}.attention_norm", {f"{theirs}.input_layernorm": (width,)}, False
        yield f"{ours}.attention.qkv", qkv, biased
        yield f"{ours}.attention.out", {f"{theirs}.self_attn.o_proj": (width, width)}, biased
        yield f"{ours}.mlp_norm", {f"{theirs}.post_attention_layernorm": (width,)}, False
        yield f"{ours}.gate_up", gates, False
        yield f"{ours}.down", {f"{theirs}.mlp.down_proj": (width, inner)}, False
