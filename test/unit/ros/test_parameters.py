"""Parameters: declared once, the YAML agrees, set at run time or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_support import ros_context

from perceptiondlm_ros.model.contract import MOST_CAPTION_TOKENS, MOST_STEPS
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.settings import SPECS, Applies, Settings
from perceptiondlm_ros.runtime.loading import BACKENDS, CACHE_MODES, DECODINGS

CONFIG = Path(__file__).parents[3] / "config" / "region_captioner.yaml"


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with ros_context() as context:
        yield context


@pytest.fixture
def node(context: Any) -> Iterator[Node]:
    node = Node("parameters_under_test", context=context)
    parameters.declare(node)
    yield node
    node.destroy_node()


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return found


def test_the_yaml_holds_every_parameter_at_its_default() -> None:
    given = flat(yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"])
    assert given == {spec.name: spec.default for spec in SPECS}
    for spec in SPECS:
        assert type(given[spec.name]) is type(spec.default), spec.name


def test_each_parameter_tells_its_meaning_range_and_mutability(node: Node) -> None:
    for spec in SPECS:
        descriptor = node.describe_parameter(spec.name)
        assert len(descriptor.description) > 20, spec.name
        assert descriptor.read_only == (spec.applies is Applies.AT_START)
        numeric = type(spec.default) in (int, float)
        ranges = list(descriptor.integer_range) + list(descriptor.floating_point_range)
        assert bool(ranges) == numeric, spec.name
        assert bool(descriptor.additional_constraints) == bool(spec.choices), spec.name


def test_choices_and_bounds_are_those_of_the_captioner() -> None:
    specs = {spec.name: spec for spec in SPECS}
    assert specs["backend"].choices == BACKENDS
    assert specs["cache"].choices == CACHE_MODES
    assert specs["decoding"].choices == DECODINGS
    assert specs["steps"].bounds == (0, MOST_STEPS)
    assert specs["caption_tokens"].bounds == (0, MOST_CAPTION_TOKENS)
    told = CONFIG.read_text().partition("# What computes the model")[2].partition("backend:")[0]
    assert all(backend in told for backend in BACKENDS)


def test_the_settings_are_the_present_values(node: Node) -> None:
    assert parameters.read(node) == Settings()
    node.set_parameters([Parameter("prompt", value="What?"), Parameter("reuse.max_age", value=3.0)])
    read = parameters.read(node)
    assert (read.prompt, read.reuse.max_age) == ("What?", 3.0)
    assert replace(read, prompt="", reuse=Settings().reuse) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("matching.tolerance", -0.1, "matching.tolerance"),
        ("matching.tolerance", float("nan"), "out of range"),
        ("matching.tolerance", 1, "Wrong parameter type"),
        ("matching.images_kept", 0, "matching.images_kept"),
        ("max_regions", 0, "max_regions"),
        ("steps", -1, "steps"),
        ("image.significant_bits", 7, "expected 0 or 8 to 16"),
        ("image.significant_bits", 17, "image.significant_bits"),
        ("backend", "cudnn", "expected one of auto, torch"),
        ("cache", "none", "expected one of auto, exact, prefix"),
        ("decoding", "none", "expected one of auto, schedule, confidence"),
        ("decoding_threshold", 1.1, "decoding_threshold"),
        ("autostart", False, "read-only"),
    ],
)
def test_impossible_values_are_refused_with_the_reason(
    node: Node, name: str, value: object, reason: str
) -> None:
    node.add_on_set_parameters_callback(lambda given: parameters.check(given, None))
    before = node.get_parameter(name).value
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert reason in result.reason
    assert node.get_parameter(name).value == before


@pytest.mark.parametrize("spec", [s for s in SPECS if s.applies is Applies.AT_CONFIGURE])
def test_what_was_loaded_with_the_model_is_refused_while_it_is_loaded(spec: Any) -> None:
    value = "cpu" if spec.name == "device" else spec.default
    result = parameters.check([Parameter(spec.name, value=value)], lambda prompt: None)
    assert not result.successful
    assert spec.name in result.reason and "cleanup" in result.reason
    assert parameters.check([Parameter(spec.name, value=value)], None).successful


IMPOSSIBLE = [
    ("detections.classes", 0, """-p detections.classes:="'0'" on a command line, '0' in a file"""),
    ("detections.classes", [0, 1], """-p detections.classes:="'0,1'" on a command line"""),
    ("detections.classes", ["0", "1"], """detections.classes:="'0,1'" on"""),
    ("detections.excluded_classes", True, "got true, which was read as true or false, expected te"),
    ("detections.excluded_classes", False, """detections.excluded_classes:="'...'" on"""),
    ("detections.excluded_classes", 1000.0, "write it in quotes"),
    ("prompt", 7, """-p prompt:="'7'" on a command line"""),
    ("device", 0, """-p device:="'0'" on a command line"""),
    ("matching.tolerance", 1, "which was read as a whole number, expected a number with a decimal"),
    ("matching.tolerance", 1, "write 1.0"),
    ("matching.tolerance", "0.1", "write one such as 0.1, without quotes"),
    ("max_regions", 10.0, "write 10"),
    ("max_regions", "10", "got '10', which was read as text, expected a whole number"),
    ("reuse.enabled", 0, "write true or false, without quotes"),
    ("reuse.enabled", "on", "write true or false, without quotes"),
    ("backend", "cudnn", "is 'cudnn', expected one of"),
]


@pytest.mark.parametrize(("name", "value", "advice"), IMPOSSIBLE)
def test_an_impossible_initial_value_stops_the_declaration_with_how_it_is_written(
    context: Any, name: str, value: object, advice: str
) -> None:
    given = Parameter(name, value=value)
    node = Node("n", context=context, parameter_overrides=[given])
    with pytest.raises(ValueError, match=f"parameter {name}: ") as error:
        parameters.declare(node)
    node.destroy_node()
    assert advice in str(error.value)


def test_each_parameter_takes_no_value_of_another_type(node: Node) -> None:
    for spec in SPECS:
        assert parameters.type_problem(spec.name, spec.default) == ""
        for value in (True, 1, 1.5, "text", [1, 2], ["a"], None, b"a"):
            problem = parameters.type_problem(spec.name, value)
            assert bool(problem) == (type(value) is not type(spec.default)), (spec.name, value)
    assert parameters.type_problem("use_sim_time", 1) == "", "not one of ours"
