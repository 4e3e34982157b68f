#!/bin/sh
# TensorRT for RTX swallows what a logger written in Python raises, as Ctrl-C does at any moment.
. "$(dirname "$0")/environment.sh"
environment onnx==1.23.2 tensorrt-rtx-cu13-bindings==1.7.1.116 tensorrt-rtx-cu13-libs==1.7.1.116
"$python" - <<'PYTHON'
import signal
import sys

import onnx
import tensorrt_rtx_bindings as trt

TEXT = '<ir_version: 9, opset_import: ["" : 20]> g (int64[4] x) => (int64[4] y) { y = Add(x, x) }'


class Log(trt.ILogger):
    calls = 0

    def __init__(self):
        trt.ILogger.__init__(self)

    def log(self, severity, message):
        Log.calls += 1
        if severity == trt.ILogger.WARNING:
            signal.raise_signal(signal.SIGINT)  # as if Ctrl-C came now


log = Log()
builder = trt.Builder(log)
network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
parser = trt.OnnxParser(network, log)
interrupted, parsed = False, None
try:
    parsed = parser.parse(onnx.parser.parse_model(TEXT).SerializeToString())
except KeyboardInterrupt:
    interrupted = True
print(f"tensorrt_rtx_bindings {trt.__version__}")
print(f"Ctrl-C while the logger runs: raised by the parser {interrupted}, which returned {parsed}.")
changed = interrupted or parsed is not True
if not changed:
    print("The KeyboardInterrupt is printed as an exception that was caught, and the program goes on:")
    print("a build can be stopped by a signal handler that notes and a progress monitor that asks.")
print("This is not what was seen before: False, then True." if changed else "As before.")
sys.exit(changed)
PYTHON
