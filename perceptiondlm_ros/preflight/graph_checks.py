"""Whether ONNX files are valid, complete, and of what TensorRT's parser takes.

Weights are not loaded: what lies in other files is only held against their sizes. ONNX's own reader
and checker would refuse files that are links, of which the folders of a hub's cache are made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import checker, helper, inliner, shape_inference

from perceptiondlm_ros.preflight.operators import Problem, find_problems, type_name
from perceptiondlm_ros.text import counted, gigabytes

NEWEST_IR = 10
"""ONNX Runtime 1.18 and TensorRT 10.3's parser know no newer file format."""

_NAMED_PLACES = 3
_LARGE = 4096  # bytes


Signature = dict[str, tuple[str, list["int | str"]]]
"""dtype in NumPy's words, and shape with symbols, by name."""


@dataclass(frozen=True)
class GraphFacts:
    """What a graph turned out to be.

    Attributes:
        faults: what is wrong; each would make loading, building or running fail.
        refused: what TensorRT's parser doesn't take.
        doubts: what may go wrong, or couldn't be told.
        weights: bytes of the initializers, by element type in the parser's words.
        external: files beside it that hold weights.
        summary: the graph in a few words.
    """

    faults: tuple[str, ...]
    refused: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    weights: dict[str, int] = field(default_factory=dict)
    inputs: Signature = field(default_factory=dict)
    outputs: Signature = field(default_factory=dict)
    external: frozenset[str] = frozenset()
    summary: str = ""


def examine_graph(path: Path) -> GraphFacts:
    """Look at everything about one ONNX file that can be told without running it."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        return GraphFacts((f"{path.name} can't be read as ONNX ({_short(error)})",))
    held = {tensor.name for tensor in model.graph.initializer}
    external = {_external(tensor).get("location", "") for tensor in _tensors(model, _outside)}
    weights = _weights(model)
    inputs = {v.name: _signature(v) for v in model.graph.input if v.name not in held}
    faults = _size_faults(model, path.parent)
    _drop_large_weights(model)
    faults = faults or _checker_faults(model)
    inferred, failure = _inferred(model)
    problems = find_problems(inferred)
    doubts = [_told(problem) for problem in problems if not problem.refused]
    if model.ir_version > NEWEST_IR:
        doubts.append(f"file format {model.ir_version} is newer than {NEWEST_IR}")
    return GraphFacts(
        # The checker infers shapes too, and says the same.
        faults=tuple(faults or ([failure] if failure else [])),
        refused=tuple(_told(problem) for problem in problems if problem.refused),
        doubts=tuple(doubts),
        weights=weights,
        inputs=inputs,
        outputs={v.name: _signature(v) for v in model.graph.output},
        external=frozenset(external),
        summary=_summary(inferred, weights),
    )


def _signature(value: onnx.ValueInfoProto) -> tuple[str, list[int | str]]:
    tensor = value.type.tensor_type
    shape = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in tensor.shape.dim
    ]
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name), shape


def _tensors(
    model: onnx.ModelProto, wanted: Callable[[onnx.TensorProto], bool] = lambda tensor: True
) -> Iterator[onnx.TensorProto]:
    """Initializers and constants, those of inner graphs and functions included."""
    graphs: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        if isinstance(graph, onnx.GraphProto):
            yield from filter(wanted, graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t") and wanted(attribute.t):
                    yield attribute.t
                graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _outside(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _external(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _size(tensor: onnx.TensorProto) -> int:
    """Bytes of the tensor's elements, as they are packed in files."""
    bits = 4 if type_name(tensor.data_type) in ("INT4", "UINT4", "FLOAT4E2M1") else 0
    if not bits:
        bits = 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(-(-math.prod(tensor.dims) * bits // 8))


def _size_faults(model: onnx.ModelProto, folder: Path) -> list[str]:
    """Weights: that those of other files are there, in the folder, and that all are long enough."""
    found = [
        f"tensor {tensor.name} holds {len(tensor.raw_data)} bytes, expected {_size(tensor)}"
        for tensor in _tensors(model, lambda tensor: tensor.HasField("raw_data"))
        if len(tensor.raw_data) != _size(tensor)
    ]
    for tensor in _tensors(model, _outside):
        entry = _external(tensor)
        location = entry.get("location", "")
        if not location or Path(location).is_absolute() or ".." in Path(location).parts:
            found.append(f"weights lie in {location!r}, expected a file of the same folder")
            continue
        path = folder / location
        if not path.is_file():
            found.append(f"{location} is missing, which holds its weights; copy the whole folder")
            continue
        start, length = (_whole(entry.get(key)) for key in ("offset", "length"))
        length = _size(tensor) if length is None else length
        if length != _size(tensor) or (start or 0) + length > path.stat().st_size:
            found.append(
                f"{location} is shorter than tensor {tensor.name} needs; it was cut off, or is of "
                "another export: copy the whole folder again"
            )
    return list(dict.fromkeys(found))


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _checker_faults(model: onnx.ModelProto) -> list[str]:
    """What ONNX's checker says of a model whose large weights were dropped."""
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        return [f"not valid ONNX: {_short(error)}"]
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return [f"ONNX's checker failed: {_short(error)}"]
    return []


def _drop_large_weights(model: onnx.ModelProto) -> None:
    """Make inputs of the graph's weights: neither the checker nor shapes need their values, and
    both would copy them several times.
    """
    graph = model.graph
    given = {value.name for value in graph.input}
    kept = []
    for tensor in graph.initializer:
        if not _outside(tensor) and len(tensor.raw_data) <= _LARGE:
            kept.append(tensor)
        elif tensor.name not in given:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for tensor in _tensors(model, _outside):  # of an inner graph, where there are no inputs
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        tensor.raw_data = bytes(_size(tensor))


def _inferred(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The model with its functions inlined and a type for every tensor, and what went wrong."""
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        return (
            shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True),
            "",
        )
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return model, f"shapes can't be inferred: {_short(error)}"


def _weights(model: onnx.ModelProto) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in _tensors(model):
        sizes[type_name(tensor.data_type)] += _size(tensor)
    return dict(sizes.most_common())


def _summary(model: onnx.ModelProto, weights: dict[str, int]) -> str:
    operators = {(node.domain, node.op_type) for node in model.graph.node}
    opset = max((opset.version for opset in model.opset_import if not opset.domain), default=0)
    held = ", ".join(f"{gigabytes(size)} of {name}" for name, size in _largest(weights))
    return (
        f"opset {opset}, {counted(len(model.graph.node), 'node')}, "
        f"{counted(len(operators), 'operator')}, weights: {held or 'none'}"
    )


def _largest(weights: dict[str, int]) -> Iterable[tuple[str, int]]:
    """Without the few constants that every graph has."""
    total = sum(weights.values())
    return [(name, size) for name, size in weights.items() if size * 100 >= total and size]


def _told(problem: Problem) -> str:
    """A problem with its first places."""
    places, more = problem.nodes[:_NAMED_PLACES], len(problem.nodes) - _NAMED_PLACES
    if not places:
        return problem.text
    return f"{problem.text} (at {', '.join(places)}{f' and {more} more' if more > 0 else ''})"


def _short(error: BaseException) -> str:
    """The first line of what a library says, which is often a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
