"""Reading and writing weights in the published layout, strictly, through one key table.

Weights are read a tensor at a time into a model that owns no memory yet, so a checkpoint is never
held twice. Only safetensors is read; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.json_values import read_json
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

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


@dataclass(frozen=True)
class _Source:
    """One tensor of a safetensors file.

    The file is opened anew for each tensor: what was read of an open file stays mapped, and would
    hold the checkpoint a second time.
    """

    path: Path
    shape: tuple[int, ...]

    def read(self, name: str) -> Tensor:
        with _reading(self.path), safe_open(str(self.path), framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut off ({error}); fetch the file again"
        ) from error


def load_model(
    folder: Path, config: ModelConfig, *, dtype: torch.dtype, device: torch.device
) -> PerceptionDLM:
    """Build the model of a checkpoint folder, ready for inference.

    Args:
        folder: holds `model.safetensors`, or shards and `model.safetensors.index.json`.
        dtype: float32, bfloat16 or float16; whatever the file holds is converted.

    Raises:
        CheckpointError: a file is missing or damaged; a tensor is missing, unexpected or of
            another shape. The message names the tensor.
    """
    with torch.device("meta"):
        model = PerceptionDLM(config)
    sources = _open(folder)
    parameters = dict(model.named_parameters())
    wanted = {source for name in parameters for source in published_names(name)}
    _check_names(folder, wanted, set(sources), config)
    for name, parameter in parameters.items():
        value = torch.empty(parameter.shape, dtype=dtype, device=device)
        _fill(value, name, sources, config)
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        setattr(module, attribute, torch.nn.Parameter(value, requires_grad=False))
    return model.eval()


def save_model(model: PerceptionDLM, path: Path, *, dtype: torch.dtype) -> None:
    """Write the weights as one safetensors file in the published layout."""
    tensors: dict[str, Tensor] = {}
    patch = model.config.vision.patch_size
    for name, parameter in model.named_parameters():
        names = published_names(name)
        value = parameter.detach().to("cpu", dtype)
        if name == "vision.patch_embedding.weight":
            value = value.view(-1, 3, patch, patch)
        sizes = _row_counts(name, model.config, len(value))
        for target, part in zip(names, value.split(sizes), strict=True):
            tensors[target] = part.contiguous().clone()
    save_file(tensors, str(path), metadata={"format": "pt"})


def _row_counts(name: str, config: ModelConfig, rows: int) -> list[int]:
    """Rows of each published tensor within ours."""
    if name.startswith("language.") and ".attention.qkv." in name:
        kv = config.language.num_key_value_heads * config.language.head_dim
        return [rows - 2 * kv, kv, kv]
    parts = len(published_names(name))
    return [rows // parts] * parts


def _open(folder: Path) -> dict[str, _Source]:
    """Every tensor of the folder's files by its name."""
    index = folder / INDEX
    weight_map = _weight_map(index) if index.is_file() else None
    sources: dict[str, _Source] = {}
    for name in [WEIGHTS] if weight_map is None else sorted(set(weight_map.values())):
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; fetch the checkpoint's files again")
        with _reading(path), safe_open(str(path), framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                sources[key] = _Source(path, tuple(file.get_slice(key).get_shape()))
    if weight_map is not None:
        found = {(key, source.path.name) for key, source in sources.items()}
        different = sorted(set(weight_map.items()) ^ found)
        if different:
            raise CheckpointError(
                f"{index} and its shards disagree about tensor {different[0][0]}; "
                "fetch the checkpoint's files again"
            )
    return sources


def _weight_map(index: Path) -> dict[str, str]:
    """The shard of each tensor."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} holds no weight_map; fetch the file again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(
                f"{index} names the shard {name!r}, expected a file of the same folder; "
                "fetch the file again"
            )
    return weight_map


def _check_names(folder: Path, wanted: set[str], found: set[str], config: ModelConfig) -> None:
    missing = sorted(wanted - found)
    if missing:
        raise CheckpointError(
            f"{folder} lacks tensor {missing[0]} ({len(missing)} missing in all); "
            "config.json and the weights must be of the same checkpoint"
        )
    unexpected = sorted(n for n in found - wanted if not _is_unused(n, config))
    if unexpected:
        raise CheckpointError(
            f"{folder} holds unexpected tensor {unexpected[0]} ({len(unexpected)} in all); "
            "config.json and the weights must be of the same checkpoint"
        )


def _is_unused(name: str, config: ModelConfig) -> bool:
    layers = range(config.vision.num_hidden_layers)
    skipped = layers[layers[config.vision_select_layer] + 1 :]
    prefixes = tuple(f"{_VISION}encoder.layers.{index}." for index in skipped)
    return name.startswith(_UNUSED + prefixes)


def _fill(value: Tensor, name: str, sources: dict[str, _Source], config: ModelConfig) -> None:
    """Copy the published tensors that make up our parameter into its memory."""
    parts = published_names(name)
    sizes = _row_counts(name, config, len(value))
    for part, rows in zip(parts, value.split(sizes), strict=True):
        found, expected = sources[part].shape, tuple(rows.shape)
        if name == "vision.patch_embedding.weight":
            patch = config.vision.patch_size
            expected = (len(rows), 3, patch, patch)
        if found != expected:
            raise CheckpointError(
                f"tensor {part} has shape {list(found)}, expected {list(expected)}; "
                "config.json and the weights must be of the same checkpoint"
            )
        rows.copy_(sources[part].read(part).view(rows.shape))
