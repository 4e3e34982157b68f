"""Reading and writing weights in the published layout, strictly.

Weights are read a tensor at a time into a model that owns no memory yet, so a checkpoint is never
held twice. Only safetensors is read; nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import published_names
from perceptiondlm_ros.model.tensor_headers import (
    TensorHeader,
    check_headers,
    read_headers,
    reading,
)


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
    headers = read_headers(folder)
    check_headers(folder, headers, config)
    for name, parameter in dict(model.named_parameters()).items():
        value = torch.empty(parameter.shape, dtype=dtype, device=device)
        _fill(value, name, headers, config)
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


def _fill(value: Tensor, name: str, headers: dict[str, TensorHeader], config: ModelConfig) -> None:
    """Copy the published tensors that make up our parameter into its memory."""
    parts = published_names(name)
    sizes = _row_counts(name, config, len(value))
    for part, rows in zip(parts, value.split(sizes), strict=True):
        rows.copy_(_read(headers[part].path, part).view(rows.shape))


def _read(path: Path, name: str) -> Tensor:
    # The file is opened anew for each tensor: what was read of an open file stays mapped, and
    # would hold the checkpoint a second time.
    with reading(path), safe_open(str(path), framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor
