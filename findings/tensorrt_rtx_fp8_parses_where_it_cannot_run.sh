#!/bin/sh
# TensorRT for RTX parses fp8 whatever GPU it is for; that Ampere has none is told by the builder.
. "$(dirname "$0")/environment.sh"
environment onnx==1.23.2 tensorrt-rtx-cu13-bindings==1.7.1.116 tensorrt-rtx-cu13-libs==1.7.1.116
"$python" - <<'PYTHON'
import sys

import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper

def product(kind):
    """Of two matrices, each quantised and back."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, [64, 64]) for n in "aby"]
    weights = [
        helper.make_tensor("scale", TensorProto.FLOAT16, [], [0.5]),
        helper.make_tensor("zero", kind, [], [0]),
    ]
    nodes = []
    for name in "ab":
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [name + "q"]))
        nodes.append(helper.make_node("DequantizeLinear", [name + "q", "scale", "zero"], [name + "d"]))
    nodes.append(helper.make_node("MatMul", ["ad", "bd"], ["y"]))
    graph = helper.make_graph(nodes, "graph", values[:2], values[2:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


def built(kind, compute):
    """Whether it is parsed and built; and the error."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(product(kind).SerializeToString()):
        return False, False, parser.get_error(0).desc()
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, compute), 0)
    plan = builder.build_serialized_network(network, config)
    return True, plan is not None, "".join(log.errors)


print(f"tensorrt_rtx_bindings {trt.__version__}")
seen = {}
for kind in (TensorProto.INT8, TensorProto.FLOAT8E4M3FN):
    for compute in ("SM86", "SM89", "SM120"):
        seen[kind, compute] = parsed, made, why = built(kind, compute)
        name = TensorProto.DataType.Name(kind)
        print(f"{name} for {compute}: parsed {parsed}, built {made} {why}")
wanted = {key: (True, key != (TensorProto.FLOAT8E4M3FN, "SM86")) for key in seen}
changed = {key: value[:2] for key, value in seen.items()} != wanted
print("This is not what was seen before." if changed else "As before: the target is set on the config")
if not changed:
    print("that the parser never sees, so a graph that parses can still be refused for one target.")
sys.exit(changed)
PYTHON
