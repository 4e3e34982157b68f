"""ONNX files of every kind: valid, damaged, incomplete, with weights inside and outside."""

from __future__ import annotations

from pathlib import Path

import exported_folder
import onnx
import pytest
import torch
from onnx import TensorProto, helper, parser
from torch import nn

from perceptiondlm_ros.preflight.graph_checks import GraphFacts, examine_graph

DATA = "graph.onnx.data"


def of_text(folder: Path, text: str) -> GraphFacts:
    path = folder / "graph.onnx"
    onnx.save(parser.parse_model(text), str(path))
    return examine_graph(path)


@pytest.mark.parametrize("outside", [None, DATA])
def test_a_valid_graph_is_described(outside: str | None, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    exported_folder.save_graph(path, outside=outside)
    facts = examine_graph(path)
    assert (facts.faults, facts.refused, facts.doubts) == ((), (), ())
    assert facts.weights == {"FP32": 64}
    assert facts.inputs == {"x": ("float32", ["rows", 4])}
    assert facts.outputs == {"y": ("float32", ["rows", 4])}
    assert facts.external == ({outside} if outside else set())
    assert facts.summary.startswith("opset 20, 2 nodes, 2 operators")


def test_what_torch_exports_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    model = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 8))
    with torch.inference_mode():
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, 8),),
            str(path),
            dynamo=True,
            opset_version=20,
            external_data=True,
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            verbose=False,
        )
    facts = examine_graph(path)
    assert (facts.faults, facts.refused) == ((), ())
    assert sum(facts.weights.values()) >= 4 * (8 * 64 + 64 * 8)


def test_functions_are_looked_into(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 20, "own" : 1]>
        g (float[n] x) => (float[n] y) { y = own.Twice (x) }
        <domain: "own", opset_import: ["" : 20]>
        Twice (a) => (c) { b = Add (a, a) c = Det (b) }"""
    facts = of_text(tmp_path, text)
    assert any("operator Det is not taken" in problem for problem in facts.refused)
    assert not any("another domain" in problem for problem in facts.refused)


def test_places_are_named_and_many_are_counted(tmp_path: Path) -> None:
    chain = " ".join(f"[node{i}] x{i + 1} = Det (x{i})" for i in range(5))
    text = f'<ir_version: 10, opset_import: ["" : 20]> g (float[n] x0) => (float[n] x5) {{{chain}}}'
    facts = of_text(tmp_path, text)
    assert any("(at node0, node1, node2 and 2 more)" in problem for problem in facts.refused)


@pytest.mark.parametrize("content", [b"", b"not ONNX", b"\x08"])
def test_files_that_are_no_onnx_are_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    assert examine_graph(path).faults


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "can't be read" in examine_graph(tmp_path / "graph.onnx").faults[0]


def test_weights_in_other_files_must_be_there_and_long_enough(tmp_path: Path) -> None:
    path, data = tmp_path / "graph.onnx", tmp_path / DATA
    exported_folder.save_graph(path, outside=DATA)
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    assert f"{DATA} is shorter than tensor weight needs" in examine_graph(path).faults[0]
    data.unlink()
    assert f"{DATA} is missing" in examine_graph(path).faults[0]


def test_weights_above_2_gb_are_taken_without_being_loaded(tmp_path: Path) -> None:
    width = 24000
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[width, width])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=DATA)
    with (tmp_path / DATA).open("wb") as file:
        file.truncate(4 * width**2)  # sparse: takes no space
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", width]) for n in ("x", "y"))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    facts = examine_graph(tmp_path / "graph.onnx")
    assert facts.faults == facts.refused == facts.doubts == ()
    assert facts.weights == {"FP32": 4 * width**2}
    assert "2.3 GB of FP32" in facts.summary


@pytest.mark.parametrize("place", ["../graph.onnx.data", "/etc/hostname", ""])
def test_weights_outside_of_the_folder_are_refused(place: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    exported_folder.save_graph(path, outside=DATA)
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = place
    path.write_bytes(model.SerializeToString())
    assert "expected a file of the same folder" in examine_graph(path).faults[0]


def test_shapes_that_do_not_fit_are_told(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]>
        g (float[2, 3] x, float[4, 5] z) => (float[2, 5] y) { y = MatMul (x, z) }"""
    assert examine_fault(of_text(tmp_path, text))


def test_operators_without_a_schema_are_told(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n] x) => (float[n] y) {y = Foo (x)}'
    assert examine_fault(of_text(tmp_path, text))


def examine_fault(facts: GraphFacts) -> str:
    (fault,) = facts.faults
    assert fault.startswith("not valid ONNX")
    return fault


def test_a_newer_file_format_is_a_doubt(tmp_path: Path) -> None:
    text = '<ir_version: 11, opset_import: ["" : 20]> g (float[n] x) => (float[n] y) {y = Exp (x)}'
    assert of_text(tmp_path, text).doubts == ("file format 11 is newer than 10",)


def test_half_precision_weights_are_counted_by_type(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.BFLOAT16, [2, 2], [1.0, 2.0, 3.0, 4.0])
    x, y = (helper.make_tensor_value_info(n, TensorProto.BFLOAT16, ["n", 2]) for n in ("x", "y"))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, str(tmp_path / "graph.onnx"))
    facts = examine_graph(tmp_path / "graph.onnx")
    assert facts.weights == {"BF16": 8}
    assert facts.inputs["x"][0] == "bfloat16"
    assert facts.faults == facts.refused == ()
