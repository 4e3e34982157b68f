"""Whether TensorRT's ONNX parser takes a graph: its operators, their element types and limits.

What the parser takes is data, `tensorrt_operators.json`: types in its own names, and for each
operator what else must hold:
    constant: these inputs are initializers or Constant nodes; zero: these too, and all 0
    outputs: only so many of the first outputs may be used
    attributes: only these values; ones: these lists are all 1; without: these may not be there
    ranks: of the first input
    first_input_only: the types are those of the first input alone
    note: what can't be told from the file, in words
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

HIGHEST_OPSET = 20
"""Of the parser in TensorRT 10.3, the oldest that engines are built with."""

PARSER = "TensorRT 10.1"

_NO_CUDA_GRAPH = ("If", "Loop", "Scan")
_OWN_DOMAIN = ("", "ai.onnx")
_NAMES = {"FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16", "FLOAT8E4M3FN": "FP8"}
_NUMBERS = ("value_float", "value_floats", "value_int", "value_ints")
_INDEX_TYPES = {"tensor(int32)", "tensor(int64)"}


@dataclass(frozen=True)
class Problem:
    """One kind of thing that the parser doesn't take.

    Attributes:
        refused: False where it can't be told from the file.
        nodes: where, in graph order.
    """

    text: str
    refused: bool = True
    nodes: list[str] = field(default_factory=list, compare=False)


@cache
def parser_operators() -> dict[str, dict[str, Any] | None]:
    """What the parser says of each operator that it knows; None where it refuses it."""
    file = Path(__file__).with_name("tensorrt_operators.json")
    values = json.loads(file.read_text(encoding="utf-8"))
    return {**values["operators"], **dict.fromkeys(values["unsupported"])}


def type_name(element_type: int) -> str:
    """An ONNX element type in the parser's words: FP16, INT64; in ONNX's where it has none."""
    name = str(onnx.TensorProto.DataType.Name(element_type))
    return _NAMES.get(name, name)


def find_problems(model: onnx.ModelProto) -> list[Problem]:
    """What the parser would refuse in a model whose shapes were inferred.

    Functions must be inlined; the graphs inside of nodes are looked at too.
    """
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    opset = next((opsets[domain] for domain in _OWN_DOMAIN if domain in opsets), 0)
    found = {}
    if opset > HIGHEST_OPSET:
        text = f"opset {opset} is newer than {HIGHEST_OPSET}, the newest that TensorRT 10.3 takes"
        found[text] = Problem(text)
    for where, problem in _problems_of_graph(model.graph, _Scope({}, {}), opset):
        nodes = found.setdefault(problem.text, problem).nodes
        if where not in nodes[-1:]:
            nodes.append(where)
    return list(found.values())


@dataclass(frozen=True)
class _Scope:
    """What is known of the tensors that a graph's nodes may use.

    Attributes:
        types: element type and rank (None: unknown) by name.
        constants: initializers and the values of Constant nodes.
    """

    types: dict[str, tuple[int, int | None]]
    constants: dict[str, onnx.TensorProto]

    def extended(self, graph: onnx.GraphProto) -> _Scope:
        types, constants = dict(self.types), dict(self.constants)
        for value in (*graph.input, *graph.output, *graph.value_info):
            tensor = value.type.tensor_type
            rank = len(tensor.shape.dim) if tensor.HasField("shape") else None
            types[value.name] = (tensor.elem_type, rank)
        for tensor in graph.initializer:
            types[tensor.name] = (tensor.data_type, len(tensor.dims))
            constants[tensor.name] = tensor
        for node in graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        constants[node.output[0]] = attribute.t
                    elif attribute.name in _NUMBERS:
                        value = np.asarray(helper.get_attribute_value(attribute))
                        constants[node.output[0]] = numpy_helper.from_array(value)
        return _Scope(types, constants)


def _problems_of_graph(
    graph: onnx.GraphProto, outer: _Scope, opset: int
) -> Iterator[tuple[str, Problem]]:
    scope = outer.extended(graph)
    for value in (*graph.input, *graph.output):
        yield from _problems_of_value(value, scope)
    for node in graph.node:
        where = node.name or next(iter(node.output), node.op_type)
        for problem in _problems_of_node(node, scope, opset):
            yield where, problem
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _problems_of_graph(inner, scope, opset)


def _problems_of_value(value: onnx.ValueInfoProto, scope: _Scope) -> Iterator[tuple[str, Problem]]:
    """Types that no operator takes, at the borders of a graph."""
    known = {name for entry in parser_operators().values() if entry for name in entry["types"]}
    if not value.type.HasField("tensor_type"):
        yield value.name, Problem("a graph input or output is no tensor")
    elif (name := type_name(scope.types[value.name][0])) not in known:
        yield value.name, Problem(f"a graph input or output is {name}, which {PARSER} has not")


def _problems_of_node(node: onnx.NodeProto, scope: _Scope, opset: int) -> Iterator[Problem]:
    operator = node.op_type
    if node.domain not in _OWN_DOMAIN:
        yield Problem(f"operator {node.domain}::{operator} is of another domain than ONNX's own")
        return
    if operator in _NO_CUDA_GRAPH:
        yield Problem(f"operator {operator} branches or loops, which no CUDA graph can hold")
    entry = parser_operators().get(operator)
    if entry is None:
        yield Problem(f"operator {operator} is not taken by {PARSER}")
        return
    yield from _type_problems(node, entry, scope, opset)
    yield from _rule_problems(node, entry, scope)


def _type_problems(
    node: onnx.NodeProto, entry: dict[str, Any], scope: _Scope, opset: int
) -> Iterator[Problem]:
    for name in _typed_slots(node, opset, entry.get("first_input_only", False)):
        found = scope.types.get(name, (0, None))[0]
        if not found:
            yield Problem(f"operator {node.op_type} has a tensor of unknown element type", False)
        elif type_name(found) not in entry["types"]:
            yield Problem(
                f"operator {node.op_type} on {type_name(found)}: {PARSER} takes it on "
                f"{', '.join(entry['types'])}"
            )


def _typed_slots(node: onnx.NodeProto, opset: int, first_only: bool) -> Iterator[str]:
    """The tensors that the parser's types speak of: not indices, shapes, and truth values that
    ONNX itself fixes.
    """
    schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=max(opset, 1), domain="")
    inputs = list(zip(node.input, _formals(schema.inputs, len(node.input)), strict=False))
    outputs = list(zip(node.output, _formals(schema.outputs, len(node.output)), strict=False))
    for index, (name, formal) in enumerate([*inputs, *outputs]):
        first = index == 0 and bool(inputs)
        fixed = len(formal.types) == 1 or formal.types <= _INDEX_TYPES
        if name and (first or not (fixed or first_only)):
            yield name


def _formals(formals: Iterable[Any], count: int) -> list[Any]:
    """The schema's parameters, the last one repeated where it is variadic."""
    listed = list(formals)
    return listed + listed[-1:] * (count - len(listed))


def _rule_problems(node: onnx.NodeProto, entry: dict[str, Any], scope: _Scope) -> Iterator[Problem]:
    operator = node.op_type
    attributes = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
    for name, tensor in _inputs_named(node, [*entry.get("constant", []), *entry.get("zero", [])]):
        value = scope.constants.get(tensor)
        if value is None:
            yield Problem(f"operator {operator}: {PARSER} needs its {name} to be constant")
        elif name in entry.get("zero", []) and not _is_zero(value):
            yield Problem(f"operator {operator}: {PARSER} needs its {name} to be 0")
    if any(node.output[entry.get("outputs", len(node.output)) :]):
        yield Problem(f"operator {operator}: {PARSER} has its first output only")
    for name, allowed in entry.get("attributes", {}).items():
        if name in attributes and attributes[name] not in allowed:
            yield Problem(
                f"operator {operator} with {name} {attributes[name]}: {PARSER} takes "
                f"{', '.join(map(str, allowed))}"
            )
    for name in entry.get("ones", []):
        if any(number != 1 for number in attributes.get(name, [])):
            yield Problem(f"operator {operator}: {PARSER} needs its {name} to be all 1")
    for name in entry.get("without", []):
        if name in attributes:
            yield Problem(f"operator {operator}: {PARSER} has no {name}")
    rank = scope.types.get(node.input[0], (0, None))[1] if node.input else None
    if "ranks" in entry and rank is not None and rank not in entry["ranks"]:
        yield Problem(
            f"operator {operator} on {rank} dimensions: {PARSER} takes it on "
            f"{' or '.join(map(str, entry['ranks']))}"
        )
    if "note" in entry:
        yield Problem(f"operator {operator}: {PARSER} {entry['note']}", refused=False)


def _inputs_named(node: onnx.NodeProto, names: list[str]) -> Iterator[tuple[str, str]]:
    """The tensors at the inputs of these names in ONNX's schema."""
    if names:
        formals = onnx.defs.get_schema(node.op_type).inputs
        for formal, tensor in zip(formals, node.input, strict=False):
            if formal.name in names and tensor:
                yield formal.name, tensor


def _is_zero(tensor: onnx.TensorProto) -> bool:
    """Whether all is 0; a tensor whose data lie in another file is taken to be."""
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    return external or not np.any(numpy_helper.to_array(tensor))


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
