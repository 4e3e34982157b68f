"""A small ONNX file, for tests of building alone: y = x + x."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper, save

from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.profiles import Profile

PROFILE: Profile = {"x": ((1, 4), (2, 4), (8, 4))}


def save_graph(path: Path, kind: int = TensorProto.FLOAT) -> None:
    """`x` and `y` are [rows, 4]."""
    inputs = helper.make_tensor_value_info("x", kind, ["rows", 4])
    outputs = helper.make_tensor_value_info("y", kind, ["rows", 4])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "g", [inputs], [outputs]
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def small_spec(folder: Path, *profiles: Profile, precision: str = "fp32") -> EngineSpec:
    """The file, and what to build from it."""
    path = folder / "double.onnx"
    if not path.exists():
        save_graph(path)
    return EngineSpec(
        name="double",
        onnx=path,
        digest="0" * 64,
        weight_bytes=path.stat().st_size,
        precision=precision,
        profiles=profiles or (PROFILE, PROFILE),
    )
