"""Overrides of the quality of service are read at the start, and none is ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from ros_robot import running_robot
from ros_support import ros_context

from perceptiondlm_ros.ros.qos import PUBLISHER, SUBSCRIPTION, check_overrides, fixed_policies
from perceptiondlm_ros.ros.region_captioner import RegionCaptioner

INPUTS = ("/image", "/detections", "/masks", "/camera_info", "/depth")
OUTPUTS = (
    *("/region_captioner/descriptions", "/region_captioner/markers"),
    *("/region_captioner/annotated_image", "/region_captioner/annotated_image/compressed"),
    *("/region_captioner/detections", "/region_captioner/descriptions/json"),
)
ENDS = [f"{topic}.subscription" for topic in INPUTS] + [f"{topic}.publisher" for topic in OUTPUTS]
POLICIES = ["history", "depth", "reliability", "durability"]
ALL = dict.fromkeys(("publish.detections", "publish.json", "masks.enabled", "markers.always"), True)


def overrides(given: dict[str, Any], **more: Any) -> list[Parameter]:
    values = {**more, **{f"qos_overrides.{name}": value for name, value in given.items()}}
    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with ros_context() as context:
        yield context


def read(context: Any, **given: Any) -> list[str]:
    """What is warned of when a node with one input and one output reads these overrides."""
    warnings: list[str] = []
    names = {name.replace("__", "."): value for name, value in given.items()}
    node = Node("n", context=context, parameter_overrides=overrides(names))
    try:
        fixed_policies(node, "/image", SUBSCRIPTION, QoSProfile(depth=5), POLICIES[2:])
        fixed_policies(node, "/out", PUBLISHER, QoSProfile(depth=1))
        check_overrides(node, warnings.append)
    finally:
        node.destroy_node()
    return warnings


def test_every_policy_of_every_topic_is_declared_at_the_start_also_where_two_are_one(
    context: Any,
) -> None:
    node = RegionCaptioner(context=context, parameter_overrides=overrides({}, **ALL))
    for end in ENDS:
        values = {p: node.get_parameter(f"qos_overrides.{end}.{p}").value for p in POLICIES}
        followed = [policy for policy, value in values.items() if value == "auto"]
        assert followed == (POLICIES[2:] if end.endswith("subscription") else []), end
    node.destroy_node()
    node = RegionCaptioner(context=context, cli_args=["--ros-args", "-r", "depth:=/image"])
    assert node.has_parameter("qos_overrides./image.subscription.depth")
    node.destroy_node()


@pytest.mark.parametrize("end", ["/image.subscription", "/out.publisher"])
@pytest.mark.parametrize(
    ("policy", "value", "says"),
    [
        ("durability", "latched", "is 'latched', expected one of .*transient_local, volatile"),
        ("reliability", "relaible", "is 'relaible', expected one of .*reliable, best_effort"),
        ("history", "all", "is 'all', expected one of .*keep_last, keep_all"),
        ("history", "auto", "is 'auto', expected one of"),
        ("depth", -1, "is -1, expected 0 or more"),
        ("depth", "one", "is 'one', expected 0 or more"),
        ("depth", 1.5, "is 1.5, expected 0 or more"),
        ("depth", True, "is True, expected 0 or more"),
        ("durability", 3, "is 3, expected .*transient_local, volatile"),
        ("reliability", True, "is True, expected .*reliable, best_effort"),
        ("reliability", "unknown", "is 'unknown'"),
        ("deadline", 10, "deadline can't be set, expected one of history, depth, reliability, dur"),
        ("lifespan", 10, "lifespan can't be set"),
        ("liveliness", "automatic", "liveliness can't be set"),
    ],
)
def test_an_impossible_override_is_refused(
    context: Any, end: str, policy: str, value: object, says: str
) -> None:
    with pytest.raises(ValueError, match=f"parameter qos_overrides.{end}.{policy}: .*{says}"):
        read(context, **{f"{end}.{policy}": value})


def test_auto_is_for_inputs_alone(context: Any) -> None:
    assert read(context, **{"/image.subscription.durability": "auto"}) == []
    with pytest.raises(ValueError, match="is 'auto', expected one of"):
        read(context, **{"/out.publisher.durability": "auto"})


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("image.subscription.depth", "/image.subscription"),
        ("/image.publisher.depth", "/out.publisher"),
        ("/imu.subscription.deadline", "/image.subscription"),
    ],
)
def test_an_override_of_another_topic_is_told(context: Any, name: str, reads: str) -> None:
    """As of a file that other nodes read as well, or of a topic that is not written in full."""
    (line,) = read(context, **{name: 1})
    assert f"qos_overrides.{name} has no effect; this node reads qos_overrides.{reads}" in line


def test_topics_take_their_overrides_and_no_others() -> None:
    name = "/region_captioner/descriptions.publisher"
    wanted = {
        f"{name}.durability": "volatile",
        f"{name}.reliability": "BEST_EFFORT",
        f"{name}.history": "keep_all",
        "/region_captioner/markers.publisher.depth": 3,
    }
    for topic in INPUTS:
        fixed = ("keep_last", 2, "reliable", "transient_local")
        wanted |= {
            f"{topic}.subscription.{policy}": value
            for policy, value in zip(POLICIES, fixed, strict=True)
        }
    with running_robot(parameter_overrides=overrides(wanted, **ALL)) as robot:
        robot.activate()
        made = {publisher.topic_name: publisher.qos_profile for publisher in robot.node.publishers}
        taken = {s.topic_name: s.qos_profile for s in robot.node.subscriptions}
    changed = made["/region_captioner/descriptions"]
    assert changed.durability == DurabilityPolicy.VOLATILE
    assert changed.reliability == ReliabilityPolicy.BEST_EFFORT
    assert changed.history == HistoryPolicy.KEEP_ALL
    assert made["/region_captioner/markers"].depth == 3
    latched = (DurabilityPolicy.TRANSIENT_LOCAL, ReliabilityPolicy.RELIABLE)
    for other in ("descriptions/json", "detections"):  # latched by default, as that one was
        qos = made[f"/region_captioner/{other}"]
        assert (qos.durability, qos.reliability, qos.depth) == (*latched, 1)
    for topic in INPUTS:
        qos = taken[topic]
        assert (qos.durability, qos.reliability) == latched
        assert (qos.history, qos.depth) == (HistoryPolicy.KEEP_LAST, 2)
