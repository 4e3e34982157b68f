"""Which topics the node has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from ros_support import ros_context

from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.all_outputs import make_outputs


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, "foxglove_msgs", None)
    with ros_context() as found:
        yield found


def topics(context: Any, **given: bool) -> set[str]:
    overrides = [Parameter(f"publish.{name}", value=value) for name, value in given.items()]
    node = LifecycleNode("captioner", context=context, parameter_overrides=overrides)
    parameters.declare(node)
    make_outputs(node, lambda: parameters.read(node), Monitor(node.get_logger()))
    names = {publisher.topic_name for publisher in node.publishers}
    node.destroy_node()
    return {name for name in names if name.startswith("/captioner/")}


DEFAULT = {
    "/captioner/descriptions",
    "/captioner/annotated_image",
    "/captioner/annotated_image/compressed",
    "/captioner/markers",
}


def test_without_foxglove_and_options(context: Any) -> None:
    found = {name for name in topics(context) if "transition" not in name}
    assert found == DEFAULT


def test_what_has_to_be_asked_for(context: Any) -> None:
    found = topics(context, detections=True, json=True)
    assert found >= DEFAULT | {"/captioner/detections", "/captioner/descriptions/json"}
