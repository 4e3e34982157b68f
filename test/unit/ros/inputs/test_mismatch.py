"""Publishers that can't be heard are named over real DDS, with the policy and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_support import Spinner, ros_context
from std_msgs.msg import Header, String

from perceptiondlm_ros.ros.inputs.mismatch import mismatches

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PUNCTUAL = QoSProfile(depth=1, deadline=Duration(seconds=1))
OVERRIDE = "qos_overrides./input.subscription"


@dataclass
class Pair:
    """A camera and a node, in contexts of their own as processes have them."""

    camera: Node
    node: Node
    spinner: Spinner

    def lines(self, requested: QoSProfile, kind: type = Header) -> tuple[str, ...]:
        publishers = self.node.get_publishers_info_by_topic("/input")
        return tuple(map(str, mismatches("/input", kind, requested, publishers)))

    def until_found(self, count: int) -> None:
        """Wait until that many are known, by name too."""

        def names() -> list[str]:
            infos = self.node.get_publishers_info_by_topic("/input")
            return [info.node_name for info in infos]

        self.spinner.until(lambda: names() == ["camera"] * count, "discovery")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ros_context() as context, ros_context(context.get_domain_id()) as other:
        camera = Node("camera", namespace="/front", context=other)
        node = Node("node", context=context)
        yield Pair(camera, node, Spinner(context, node))
        camera.destroy_node()
        node.destroy_node()


@pytest.mark.parametrize(
    ("offered", "requested", "policy", "cure"),
    [
        (BEST_EFFORT, RELIABLE, "reliability", f"set {OVERRIDE}.reliability to auto"),
        (RELIABLE, LATCHED, "durability", f"set {OVERRIDE}.durability to auto"),
        (RELIABLE, PUNCTUAL, "deadline", "let the publisher offer"),
        (
            *(BEST_EFFORT, LATCHED, "reliability, durability"),
            f"set {OVERRIDE}.reliability and {OVERRIDE}.durability to auto",
        ),
    ],
)
def test_an_incompatible_policy_is_named_with_publisher_and_cure(
    pair: Pair, offered: QoSProfile, requested: QoSProfile, policy: str, cure: str
) -> None:
    pair.camera.create_publisher(Header, "/input", offered)
    pair.until_found(1)
    (line,) = pair.lines(requested)
    assert line.startswith(f"QoS of /input incompatible ({policy}): /front/camera has ")
    assert cure in line and "ERROR" not in line and "\n" not in line


def test_a_publisher_of_another_type_is_named(pair: Pair) -> None:
    pair.camera.create_publisher(String, "/input", RELIABLE)
    pair.until_found(1)
    (line,) = pair.lines(RELIABLE)
    assert line.startswith("type of /input differs: /front/camera publishes std_msgs/msg/String")
    assert "takes std_msgs/msg/Header" in line


def test_each_publisher_that_does_not_fit_has_a_line(pair: Pair) -> None:
    assert pair.lines(RELIABLE) == ()
    for offered in (BEST_EFFORT, RELIABLE, BEST_EFFORT):
        pair.camera.create_publisher(Header, "/input", offered)
    pair.until_found(3)
    assert len(pair.lines(RELIABLE)) == 2 and pair.lines(BEST_EFFORT) == ()
