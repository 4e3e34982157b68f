"""8-bit weights and activations for CPUs, with ONNX Runtime's own tool."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx

from perceptiondlm_ros.errors import ExportError

_MOST_INSIDE = 1 << 30  # bytes that stay inside the ONNX file, which may have 2 GB


def quantise(path: Path) -> None:
    """Replace a graph by one whose products with weights run in int8, in place.

    Weights are quantised a column at a time, activations when they come. Embeddings, norms,
    attention and the head stay as they are.

    Raises:
        ExportError: ONNX Runtime isn't installed.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ExportError(
            f"precision int8 needs onnxruntime, which can't be imported ({error}); run "
            "`pip install onnxruntime`"
        ) from error
    target = path.with_suffix(".int8.onnx")
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    logging.disable(logging.WARNING)  # it advises to a preprocessing that is done already
    try:
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_head(path),
            use_external_data_format=size > _MOST_INSIDE,
        )
    finally:
        logging.disable(logging.NOTSET)
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    target.rename(path)


def _head(path: Path) -> list[str]:
    """The product that makes logits: it decides, and is a small part of the work."""
    graph = onnx.load(path, load_external_data=False).graph
    made_by = {output: node for node in graph.node for output in node.output}
    node = next((n for n in graph.node if n.op_type == "ArgMax"), None)
    while node is not None and node.op_type != "MatMul":
        node = made_by.get(node.input[0])
    return [] if node is None else [node.name]
