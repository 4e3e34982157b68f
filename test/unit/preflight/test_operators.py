"""The parser's list, and what is found in graphs that break it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import parser, shape_inference

from perceptiondlm_ros.preflight.operators import find_problems, parser_operators

PUBLISHED = Path(__file__).parents[4] / "shared" / "tensorrt" / "onnx_operators_10_1.json"


HELD = "int8[1] zero = {0}, int8[1] one = {1}, int64[1] two = {2}"
"""Initializers that every graph has."""


def problems(
    body: str, header: str = "float[n] x", out: str = "float[n] y", opset: int = 20
) -> str:
    """What is wrong with a graph of one input x and one output y, in onnx's text format."""
    text = (
        f'<ir_version: 9, opset_import: ["" : {opset}, "com.other" : 1]>\n'
        f"g ({header}) => ({out}) <{HELD}> {{ {body} }}"
    )
    model = shape_inference.infer_shapes(parser.parse_model(text), data_prop=True)
    return "\n".join(problem.text for problem in find_problems(model))


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published list is not here")
def test_the_list_is_the_parsers() -> None:
    published = json.loads(PUBLISHED.read_text())
    ours = parser_operators()
    assert ours.keys() == published.keys()
    for name, entry in published.items():
        found = ours[name]
        assert (found is not None) == entry["supported"], name
        if found is not None:
            assert found["types"] == [name for name in entry["types"] if name], name
            assert bool(entry["restriction"]) == (found.keys() != {"types"}), name


def test_every_rule_is_one_that_is_applied_and_names_what_onnx_has() -> None:
    rules = {"types", "constant", "zero", "outputs", "attributes", "ones", "without", "ranks"}
    rules |= {"first_input_only", "note"}
    for name, entry in parser_operators().items():
        assert entry is None or entry.keys() <= rules
        if entry is None or not onnx.defs.has(name):
            continue
        schema = onnx.defs.get_schema(name)
        inputs = {formal.name for formal in schema.inputs}
        assert {*entry.get("constant", []), *entry.get("zero", [])} <= inputs, name
        named = [*entry.get("attributes", {}), *entry.get("ones", []), *entry.get("without", [])]
        assert {*named} <= schema.attributes.keys(), name


def test_an_ordinary_graph_has_no_problem() -> None:
    body = """
        axes = Constant <value = int64[1] {1}> ()
        wide = Unsqueeze (x, axes)
        shape = Shape (wide)
        flat = Reshape (wide, shape)
        lower = Less (flat, flat)
        flags = Not (lower)
        chosen = Where (flags, flat, wide)
        half = Cast <to = 10> (chosen)
        soft = Softmax (half)
        back = Cast <to = 1> (soft)
        y = Squeeze (back, axes)
    """
    assert problems(body) == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("y = Unique (x)", "operator Unique is not taken by TensorRT 10.1"),
        ("y = com.other.Magic (x)", "operator com.other::Magic is of another domain"),
        ("a = Cast <to = 11> (x) b = Exp (a) y = Cast <to = 1> (b)", "operator Exp on DOUBLE"),
        ("a = Cast <to = 7> (x) b = Softmax (a) y = Cast <to = 1> (b)", "Softmax on INT64"),
        ("a = Cast <to = 6> (x) b = Clip (a) y = Cast <to = 1> (b)", "operator Clip on INT32"),
        ("a = Cast <to = 9> (x) b = Tile (a, two) y = Cast <to = 1> (b)", ""),
        ("a = Cast <to = 3> (x) b = Add (a, a) y = Cast <to = 1> (b)", "operator Add on INT8"),
        ("a = Cast <to = 9> (x) b = Pad (a, n) y = Cast <to = 1> (b)", "operator Pad on BOOL"),
        ("a = Shape (x) y = ReduceSum (x, a)", "needs its axes to be constant"),
        ("a = Shape (x) y = CumSum (x, a)", "needs its axis to be constant"),
        ("a = Shape (x) b, c = TopK <sorted = 0> (x, a) y = Identity (b)", "with sorted 0"),
        ('a = Shape (x) y = ScatterND <reduction = "add"> (x, a, x)', "with reduction add"),
        ("b, c = LayerNormalization (x, x) y = Add (b, c)", "has its first output only"),
        ("y = AveragePool <kernel_shape = [1]> (x)", "on 1 dimensions: TensorRT 10.1 takes it"),
        ("y = MaxPool <kernel_shape = [1], dilations = [2]> (x)", "dilations to be all 1"),
        ("q = QuantizeLinear (x, x, one) y = Cast <to = 1> (q)", "y_zero_point to be 0"),
        ("q = QuantizeLinear (x, x, zero) y = DequantizeLinear (q, x, zero)", ""),
    ],
)
def test_problems_are_told(body: str, says: str) -> None:
    found = problems(body)
    assert says in found if says else found == ""


def test_opset_is_held_against_the_parsers() -> None:
    assert problems("y = Exp (x)", opset=20) == ""
    assert "opset 21 is newer than 20" in problems("y = Exp (x)", opset=21)


def test_inputs_that_no_operator_takes_are_found() -> None:
    found = problems("y = Cast <to = 1> (x)", header="double[n] x")
    assert "a graph input or output is DOUBLE" in found


@pytest.mark.parametrize("kind", ["If", "Loop"])
def test_branches_are_refused_and_looked_into(kind: str) -> None:
    inner = "b = Unique (x)"
    if kind == "If":
        body = f"""
            yes = Constant <value = bool {{1}}> ()
            y = If (yes) <
                then_branch = t () => (float[m] b) {{ {inner} }},
                else_branch = e () => (float[n] c) {{ c = Exp (x) }}
            >
        """
    else:
        body = f"""
            count = Constant <value = int64 {{3}}> ()
            go = Constant <value = bool {{1}}> ()
            y = Loop (count, go, x) <
                body = l (int64 i, bool before, float[n] v) => (bool after, float[m] b)
                {{ after = Identity (before) {inner} }}
            >
        """
    found = problems(body, out="float[k] y")
    assert f"operator {kind} branches or loops" in found
    assert "operator Unique is not taken" in found


def test_each_problem_comes_once_with_every_place() -> None:
    text = """<ir_version: 9, opset_import: ["" : 20]>
        g (float[n] x) => (float[n] y) { [first] a = Unique (x) [second] y = Unique (a) }"""
    problem = find_problems(parser.parse_model(text))[0]
    assert problem.nodes == ["first", "second"]
