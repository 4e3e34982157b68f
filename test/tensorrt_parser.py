"""What the oldest parser of TensorRT that engines are built with would refuse of a graph, by the
list that its makers publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import onnx
import pytest
from tensorrt_stand_in.versions import API_FOLDER

_LIST = API_FOLDER / "onnx_operators_10_1.json"
_BRANCHES = ("If", "Loop", "Scan")
_NAMES = {"FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16"}
_INDICES = {"tensor(int32)", "tensor(int64)"}


@cache
def _operators() -> dict[str, dict[str, Any]]:
    if not _LIST.is_file():
        pytest.skip(f"the operators of TensorRT's parser are not known: {_LIST} does not exist")
    found: dict[str, dict[str, Any]] = json.loads(_LIST.read_text())
    return found


def refused(model: onnx.ModelProto) -> set[str]:
    """What is wrong with a model of standard operators, without functions."""
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    constant = {tensor.name for tensor in graph.initializer}
    constant |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    assert not model.functions and model.opset_import[0].version <= 20
    return {problem for node in graph.node for problem in _of_node(node, types, constant)}


def _of_node(node: onnx.NodeProto, types: dict[str, int], constant: set[str]) -> Iterator[str]:
    listed = _operators().get(node.op_type, {"supported": False})
    if node.domain or not listed["supported"]:
        yield f"{node.domain}::{node.op_type} is not taken"
        return
    if node.op_type in _BRANCHES:
        yield f"{node.op_type} branches, which no CUDA graph can hold"
    for name in _typed(node):
        kind = str(onnx.TensorProto.DataType.Name(types[name]))
        if _NAMES.get(kind, kind) not in listed["types"]:
            yield f"{node.op_type} is not taken on {kind}"
    for name, formal in zip(node.input, onnx.defs.get_schema(node.op_type).inputs, strict=False):
        if formal.name == "axes" and "axes" in listed["restriction"] and name not in constant:
            yield f"{node.op_type} needs constant axes"
    if node.op_type == "LayerNormalization" and len(node.output) > 1:
        yield "LayerNormalization has one output"


def _typed(node: onnx.NodeProto) -> Iterator[str]:
    """The tensors that the list's types speak of: neither indices nor what ONNX itself fixes."""
    schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=20)
    for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
        repeated = [*formals, *list(formals)[-1:] * len(names)]  # the last one may be variadic
        for index, (name, formal) in enumerate(zip(names, repeated, strict=False)):
            fixed = len(formal.types) == 1 or formal.types <= _INDICES
            if name and (not fixed or (index == 0 and names is node.input)):
                yield name
