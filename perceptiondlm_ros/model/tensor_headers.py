"""What a checkpoint's weight files say they hold, and whether that is what its config needs.

Only the headers of the files are read, and torch isn't needed for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.json_values import read_json
from perceptiondlm_ros.model.published import (
    INDEX,
    WEIGHTS,
    Shape,
    is_unused,
    published_shapes,
)

_SAME = "config.json and the weights must be of the same checkpoint"

_FLOATS = ("F64", "F32", "F16", "BF16")
_COMPANIONS = {
    "scales beside fewer bits": (
        *("weight_scale_inv", "weight_scale", "weight_scale_2", "weight_scales", "scale_inv"),
        *("scale_weight", "scale_input", "input_scale", "output_scale", "weight_zero_point"),
        *("weight_packed", "weight_shape", "weight_g_idx", "k_scale", "v_scale"),
    ),
    "GPTQ or AWQ": ("qweight", "qzeros", "scales", "g_idx"),
    "bitsandbytes": ("absmax", "quant_map", "nested_absmax", "nested_quant_map", "SCB"),
    "HQQ": ("W_q",),
    "quanto or torchao": ("_data", "_scale", "_qdata"),
    "MXFP4": ("gate_proj_blocks", "up_proj_blocks", "down_proj_blocks"),
}
"""Last parts of the names of what quantised weights come with, by the method."""

_METHODS = {last: method for method, names in _COMPANIONS.items() for last in names}


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file.

    Attributes:
        dtype: as the file names it: F32, F16, BF16 or another.
    """

    path: Path
    shape: Shape
    dtype: str


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a weight file is read into a CheckpointError."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut off ({error}); fetch the file again"
        ) from error


def read_headers(folder: Path) -> dict[str, TensorHeader]:
    """Every tensor of the folder's weight files by its name.

    Raises:
        CheckpointError: a file is missing or damaged, or the index and the shards disagree.
    """
    index = folder / INDEX
    weight_map = _weight_map(index) if index.is_file() else None
    headers: dict[str, TensorHeader] = {}
    for name in [WEIGHTS] if weight_map is None else sorted(set(weight_map.values())):
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; fetch the checkpoint's files again")
        with reading(path), safe_open(str(path), framework="np") as file:
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                part = file.get_slice(key)
                headers[key] = TensorHeader(path, tuple(part.get_shape()), part.get_dtype())
    if weight_map is not None:
        found = {(key, header.path.name) for key, header in headers.items()}
        different = sorted(set(weight_map.items()) ^ found)
        if different:
            raise CheckpointError(
                f"{index} and its shards disagree about tensor {different[0][0]}; "
                "fetch the checkpoint's files again"
            )
    return headers


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


def check_headers(folder: Path, found: dict[str, TensorHeader], config: ModelConfig) -> None:
    """Hold what the files have against what the config needs.

    Raises:
        CheckpointError: the weights are quantised, or a tensor is missing, unexpected or of another
            shape; the message names it.
    """
    wanted = published_shapes(config)
    _refuse_quantised(folder, found, wanted.keys())
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise CheckpointError(
            f"{folder} lacks tensor {missing[0]} ({len(missing)} missing in all); {_SAME}"
        )
    unexpected = sorted(n for n in found.keys() - wanted.keys() if not is_unused(n, config))
    if unexpected:
        raise CheckpointError(
            f"{folder} holds unexpected tensor {unexpected[0]} ({len(unexpected)} in all); {_SAME}"
        )
    for name, shape in wanted.items():
        if found[name].shape != shape:
            raise CheckpointError(
                f"tensor {name} has shape {list(found[name].shape)}, expected {list(shape)}; "
                f"{_SAME}"
            )


def _refuse_quantised(
    folder: Path, found: dict[str, TensorHeader], wanted: Collection[str]
) -> None:
    """Weights of few bits mean nothing without their scales, which this package doesn't apply."""
    signs = {name: method for name in sorted(found) if (method := _method(name))}
    for name in sorted(found.keys() & wanted):
        if found[name].dtype not in _FLOATS:
            signs.setdefault(name, f"its elements are {found[name].dtype}")
    for name, sign in signs.items():
        raise CheckpointError(
            f"{folder} holds quantised weights, as tensor {name} tells ({sign}), expected F32, F16 "
            "or BF16; take the checkpoint that they were made from"
        )


def _method(name: str) -> str | None:
    """How the weight that the tensor belongs to was quantised; None for a tensor of its own."""
    last = re.split(r"[.:]", name)[-1]
    return "bitsandbytes" if "quant_state.bitsandbytes" in name else _METHODS.get(last)
