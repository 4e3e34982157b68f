"""Graphs as ONNX files: written with their weights beside them, shared where two files hold the
same, and checked."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir
import torch

from perceptiondlm_ros.errors import ExportError
from perceptiondlm_ros.export.graphs import Graph
from perceptiondlm_ros.model.manifest import TensorRecord

OPSET = 20
"""The newest that TensorRT 10.3 (JetPack 6) reads."""

IR_VERSION = 10
"""Of the files, the newest that TensorRT 10.3 reads."""

SMALL = 1024  # bytes that stay inside the ONNX file
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def trace(graph: Graph) -> onnx_ir.Model:
    """Turn a graph's module into operators.

    Raises:
        ExportError: the exporter of this torch can't do it.
    """
    with _quietly():
        try:
            program = torch.onnx.export(
                graph.module.eval(),
                kwargs={
                    "inputs": graph.arguments
                },  # as the last argument it would be taken for these
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=graph.dynamic_shapes,
                verbose=False,
            )
        except Exception as error:  # its own errors have no common base
            raise ExportError(
                f"torch {torch.__version__} can't export the {graph.name}: {error}"
            ) from error
    if program is None:
        raise ExportError(f"torch {torch.__version__} gave nothing for the {graph.name}")
    model = program.model
    _check_versions(model, graph.name)
    _declare(model.graph.inputs, graph.inputs)
    _declare(model.graph.outputs, graph.outputs)
    for node in model.graph:
        node.metadata_props.clear()  # stack traces of the exporting machine
    return model


def write(model: onnx_ir.Model, path: Path, shared: Path | None = None) -> None:
    """Write `path` and its weights to `path` with .data appended.

    Args:
        shared: an ONNX file beside it, whose weights are referred to where they are the same.
    """
    if shared is None:
        onnx_ir.save(model, path, external_data=f"{path.name}.data", size_threshold_bytes=SMALL)
        return
    known = {
        _key(tensor): tensor for tensor in _weights(onnx_ir.load(shared)) if _is_external(tensor)
    }
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= SMALL:
            value.const_value = known.get(_key(tensor), tensor)
    onnx_ir.save(model, path)


def check(path: Path, *, standard: bool) -> None:
    """Run ONNX's checker, and shape inference to the end where all operators are standard.

    Raises:
        ExportError: the file is no valid model.
    """
    try:
        onnx.checker.check_model(str(path), full_check=standard)
    except Exception as error:  # the checker's and protobuf's own
        raise ExportError(f"{path.name} is no valid ONNX model: {error}") from error


def _weights(model: onnx_ir.Model) -> Iterator[onnx_ir.TensorProtocol]:
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value


def _is_external(tensor: onnx_ir.TensorProtocol) -> bool:
    return isinstance(tensor, onnx_ir.ExternalTensor)


def _key(tensor: onnx_ir.TensorProtocol) -> tuple[object, ...]:
    digest = hashlib.sha256(tensor.tobytes()).digest()
    return tensor.dtype, tuple(tensor.shape.numpy()), digest


def _check_versions(model: onnx_ir.Model, name: str) -> None:
    opset, version = model.opset_imports[""], model.ir_version
    if opset > OPSET or version > IR_VERSION:
        raise ExportError(
            f"torch {torch.__version__} wrote the {name} with opset {opset} and IR version "
            f"{version}, expected at most {OPSET} and {IR_VERSION}; TensorRT 10.3 reads no newer"
        )


def _declare(values: Sequence[onnx_ir.Value], expected: dict[str, TensorRecord]) -> None:
    """Call axes as they were declared, where the exporter has names of its own for sums.

    Raises:
        ExportError: the exporter gave another tensor.
    """
    for value, (name, record) in zip(values, expected.items(), strict=True):
        shape = [] if value.shape is None else [*value.shape]
        dtype = "" if value.dtype is None else value.dtype.name.lower()
        dtype = {"float": "float32"}.get(dtype, dtype)
        fixed = [axis if isinstance(axis, int) else None for axis in shape]
        declared = [axis if isinstance(axis, int) else None for axis in record.shape]
        if (value.name, dtype, fixed) != (name, record.dtype, declared):
            raise ExportError(
                f"torch {torch.__version__} gave {value.name} as {dtype} {shape}, expected {name} "
                f"as {record.dtype} {list(record.shape)}"
            )
        value.shape = onnx_ir.Shape(record.shape)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's remarks about its own workings."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
