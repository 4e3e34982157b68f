"""An input fits its quality of service to its publishers, unless the user has fixed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import Spinner, ros_context
from std_msgs.msg import Header, String

from perceptiondlm_ros.ros.stream import Stream

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
OVERRIDE = "qos_overrides./input.subscription."


@pytest.fixture
def context() -> Iterator[Any]:
    with ros_context() as context:
        yield context


def publish(node: Node, reliability: ReliabilityPolicy) -> Any:
    return node.create_publisher(Header, "/input", QoSProfile(depth=1, reliability=reliability))


def used(stream: Stream) -> ReliabilityPolicy:
    assert stream._subscription
    return stream._subscription.qos_profile.reliability


def test_it_follows_the_publishers_that_come_and_go(context: Any) -> None:
    node, peer = Node("node", context=context), Node("peer", context=context)
    spinner = Spinner(context, node, peer)
    received: list[Header] = []
    stream = Stream(node, Header, "input", received.append)
    stream.open()
    assert used(stream) == BEST_EFFORT, "compatible with whatever may come"
    reliable = publish(peer, RELIABLE)
    spinner.until(lambda: used(stream) == RELIABLE, "reliable", again=stream.fit)
    hasty = publish(peer, BEST_EFFORT)
    spinner.until(lambda: used(stream) == BEST_EFFORT, "best effort", again=stream.fit)
    for publisher in (reliable, hasty):
        received.clear()
        spinner.until(
            lambda: bool(received),
            "a message of each",
            again=lambda publisher=publisher: publisher.publish(Header()),
        )
    peer.destroy_publisher(hasty)
    spinner.until(lambda: used(stream) == RELIABLE, "reliable again", again=stream.fit)
    stream.close()
    spinner.until(lambda: reliable.get_subscription_count() == 0, "closed")
    stream.fit()
    assert stream._subscription is None


@pytest.mark.parametrize("fixed", [RELIABLE, BEST_EFFORT])
def test_an_override_is_kept(context: Any, fixed: ReliabilityPolicy) -> None:
    overrides = [
        Parameter(OVERRIDE + "reliability", value=fixed.name.lower()),
        Parameter(OVERRIDE + "depth", value=1),
    ]
    node = Node("node", context=context, parameter_overrides=overrides)
    spinner = Spinner(context, node)
    stream = Stream(node, Header, "input", lambda message: None)
    other = BEST_EFFORT if fixed == RELIABLE else RELIABLE
    publisher = publish(node, other)
    spinner.until(lambda: node.count_publishers("/input") == 1, "discovery")
    for _ in range(2):  # the second time its parameters are declared already
        stream.open()
        stream.fit()
        assert used(stream) == fixed
        assert stream._subscription.qos_profile.depth == 1
        stream.close()
    node.destroy_publisher(publisher)


def test_topics_of_its_kind_are_found_elsewhere(context: Any) -> None:
    node, peer = Node("node", context=context), Node("peer", context=context)
    stream = Stream(node, Header, "input", lambda message: None)
    for name in ("/front/header", "/back/header", "/input"):
        peer.create_publisher(Header, name, 1)
    peer.create_publisher(String, "/front/text", 1)
    peer.create_subscription(Header, "/silent", print, 1)
    node.create_publisher(Header, "~/own", 1)
    spinner = Spinner(context, node, peer)
    found = ("/back/header", "/front/header")
    spinner.until(lambda: stream.elsewhere() == found, "the others' topics")


def test_a_publisher_that_cannot_be_heard_is_named_while_open(context: Any) -> None:
    overrides = [Parameter(OVERRIDE + "reliability", value="reliable")]
    node = Node("node", context=context, parameter_overrides=overrides)
    spinner = Spinner(context, node)
    stream = Stream(node, Header, "input", lambda message: None)
    publisher = publish(node, BEST_EFFORT)
    spinner.until(lambda: stream.publishers() == 1, "discovery")
    assert stream.mismatches() == ()
    stream.open()
    spinner.until(lambda: stream.offers.policies["reliability"] == 1, "the middleware's report")
    (line,) = stream.mismatches()
    assert "QoS of /input incompatible (reliability)" in line
    stream.close()
    assert stream.mismatches() == ()
    node.destroy_publisher(publisher)
