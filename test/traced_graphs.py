"""Parts of a step as graphs of their own, traced like the exporter's."""

from __future__ import annotations

import onnx_ir
import onnxruntime
from tensorrt_parser import refused

from perceptiondlm_ros.export import onnx_files
from perceptiondlm_ros.export.graphs import Graph


def session_of(graph: Graph) -> onnxruntime.InferenceSession:
    model = onnx_ir.to_proto(onnx_files.trace(graph))
    assert not refused(model), "TensorRT's parser takes it"
    return onnxruntime.InferenceSession(model.SerializeToString())
