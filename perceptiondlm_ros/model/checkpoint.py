"""Reading and writing weights in the published layout, strictly.

Weights are read a tensor at a time into a model that owns no memory yet, so a checkpoint is never
held twice. Only safetensors is read; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import Shape, published_parameters
from perceptiondlm_ros.model.tensor_headers import check_headers, read_headers, reading


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
    with torch.device("meta"), _Uninitialised():
        model = PerceptionDLM(config)
    headers = read_headers(folder)
    check_headers(folder, headers, config)
    parts = published_parameters(config)
    for name, parameter in dict(model.named_parameters()).items():
        value = torch.empty(parameter.shape, dtype=dtype, device=device)
        for part, place in _split(value, parts[name]).items():
            place.copy_(_read(headers[part].path, part))
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        setattr(module, attribute, torch.nn.Parameter(value, requires_grad=False))
    return model.eval()


class _Uninitialised(TorchFunctionMode):
    """Modules are built without their initialisers' values, which the checkpoint's replace.

    On the meta device the first one imports torch's compiler, 1.1 of the 1.3 seconds that loading
    the packaged checkpoint took after torch was imported (torch 2.13).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":  # attributes have none
            return None
        return func(*args, **(kwargs or {}))


def save_model(model: PerceptionDLM, path: Path, *, dtype: torch.dtype) -> None:
    """Write the weights as one safetensors file in the published layout."""
    tensors: dict[str, Tensor] = {}
    parts = published_parameters(model.config)
    for name, parameter in model.named_parameters():
        for part, value in _split(parameter.detach().to("cpu", dtype), parts[name]).items():
            tensors[part] = value.contiguous().clone()
    save_file(tensors, str(path), metadata={"format": "pt"})


def _split(value: Tensor, parts: dict[str, Shape]) -> dict[str, Tensor]:
    """Views of our parameter as the published tensors that make it up."""
    pieces = value.split([shape[0] for shape in parts.values()])
    return {
        name: piece.view(shape) for (name, shape), piece in zip(parts.items(), pieces, strict=True)
    }


def _read(path: Path, name: str) -> Tensor:
    # The file is opened anew for each tensor: what was read of an open file stays mapped, and
    # would hold the checkpoint a second time.
    with reading(path), safe_open(str(path), framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor
