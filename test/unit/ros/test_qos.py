"""Overrides of the quality of service are read at the start, and none is ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from ros_robot import running_robot
from ros_support import ros_context

from perceptiondlm_ros.ros.region_captioner import RegionCaptioner

INPUTS = ("/image", "/detections", "/masks", "/camera_info", "/depth")
OUTPUTS = (
    *("/region_captioner/descriptions", "/region_captioner/markers"),
    *("/region_captioner/annotated_image", "/region_captioner/annotated_image/compressed"),
    *("/region_captioner/detections", "/region_captioner/descriptions/json"),
)
ENDS = [f"{topic}.subscription" for topic in INPUTS] + [f"{topic}.publisher" for topic in OUTPUTS]
POLICIES = ["history", "depth", "reliability", "durability"]
ALL = {"publish.detections": True, "publish.json": True}


def options(**given: Any) -> dict[str, Any]:
    names = {name.replace("__", "."): value for name, value in given.items()}
    overrides = {**ALL, **{f"qos_overrides.{name}": value for name, value in names.items()}}
    return {"parameter_overrides": [Parameter(name, value=v) for name, v in overrides.items()]}


@pytest.fixture
def context() -> Iterator[Any]:
    with ros_context() as context:
        yield context


def test_every_policy_of_every_topic_is_declared_at_the_start(context: Any) -> None:
    node = RegionCaptioner(context=context, **options())
    for end in ENDS:
        values = {p: node.get_parameter(f"qos_overrides.{end}.{p}").value for p in POLICIES}
        followed = [policy for policy, value in values.items() if value == "auto"]
        assert followed == (POLICIES[2:] if end.endswith("subscription") else []), end
    node.destroy_node()


@pytest.mark.parametrize("end", ENDS)
def test_an_impossible_override_of_any_topic_is_refused(context: Any, end: str) -> None:
    with pytest.raises(ValueError, match=f"qos_overrides.{end}.durability: is 'latched'"):
        RegionCaptioner(context=context, **options(**{f"{end}.durability": "latched"}))


@pytest.mark.parametrize("end", [ENDS[3], ENDS[5]])
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
def test_an_impossible_override_is_refused_at_the_start(
    context: Any, end: str, policy: str, value: object, says: str
) -> None:
    given = options(**{f"{end}.{policy}": value})
    with pytest.raises(ValueError, match=says) as raised:
        RegionCaptioner(context=context, **given)
    assert f"qos_overrides.{end}.{policy}" in str(raised.value)


def test_auto_is_for_inputs_alone(context: Any) -> None:
    name = "/region_captioner/descriptions.publisher.durability"
    with pytest.raises(ValueError, match="is 'auto', expected one of"):
        RegionCaptioner(context=context, **options(**{name: "auto"}))


def test_an_override_of_another_topic_is_told(
    context: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """As of a file that other nodes read as well, or of a topic that is not written in full."""
    names = ("image.subscription.depth", "/image.publisher.depth", "/imu.subscription.deadline")
    node = RegionCaptioner(context=context, **options(**dict.fromkeys(names, 1)))
    told = capfd.readouterr().err
    for name in names:
        (line,) = [
            line for line in told.splitlines() if f"qos_overrides.{name} has no effect" in line
        ]
        kind = name.split(".")[1]
        assert f".{kind}" in line.partition("reads")[2]
    assert "qos_overrides./image.subscription," in told
    node.destroy_node()


def test_publishers_take_their_overrides_and_no_others() -> None:
    name = "/region_captioner/descriptions.publisher"
    wanted = {
        f"{name}.durability": "volatile",
        f"{name}.reliability": "BEST_EFFORT",
        f"{name}.history": "keep_all",
        "/region_captioner/markers.publisher.depth": 3,
    }
    with running_robot(**options(**wanted)) as robot:
        made = {publisher.topic_name: publisher.qos_profile for publisher in robot.node.publishers}
    changed = made["/region_captioner/descriptions"]
    assert changed.durability == DurabilityPolicy.VOLATILE
    assert changed.reliability == ReliabilityPolicy.BEST_EFFORT
    assert changed.history == HistoryPolicy.KEEP_ALL
    assert made["/region_captioner/markers"].depth == 3
    for other in ("descriptions/json", "detections"):  # latched by default, as that one was
        qos = made[f"/region_captioner/{other}"]
        assert (qos.durability, qos.reliability, qos.depth) == (
            DurabilityPolicy.TRANSIENT_LOCAL,
            ReliabilityPolicy.RELIABLE,
            1,
        )


@pytest.mark.parametrize("topic", INPUTS)
def test_subscriptions_take_their_overrides(topic: str) -> None:
    name = f"{topic}.subscription"
    wanted = {
        f"{name}.durability": "transient_local",
        f"{name}.reliability": "reliable",
        f"{name}.history": "keep_last",
        f"{name}.depth": 2,
    }
    given = options(**wanted)
    given["parameter_overrides"] += [
        Parameter("masks.enabled", value=True),
        Parameter("markers.always", value=True),
    ]
    with running_robot(**given) as robot:
        robot.node.trigger_configure()
        robot.node.trigger_activate()
        (made,) = [s.qos_profile for s in robot.node.subscriptions if s.topic_name == topic]
    assert made.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert made.reliability == ReliabilityPolicy.RELIABLE
    assert (made.history, made.depth) == (HistoryPolicy.KEEP_LAST, 2)


def test_two_inputs_may_be_one_topic(context: Any) -> None:
    remapped = {"cli_args": ["--ros-args", "-r", "depth:=/image"]}
    node = RegionCaptioner(context=context, **options(), **remapped)
    assert node.has_parameter("qos_overrides./image.subscription.depth")
    node.destroy_node()
