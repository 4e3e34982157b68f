"""An input fits its quality of service to its publishers, unless the user has fixed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_support import Spinner, ros_context
from std_msgs.msg import Header, String

from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
OVERRIDE = "qos_overrides./input.subscription."


@pytest.fixture
def context() -> Iterator[Any]:
    with ros_context() as context:
        yield context


def publish(
    node: Node, reliability: ReliabilityPolicy, durability: DurabilityPolicy = VOLATILE
) -> Any:
    qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
    return node.create_publisher(Header, "/input", qos)


def latch(node: Node, name: str) -> Any:
    """A publisher that has sent this before anybody listened."""
    publisher = publish(node, RELIABLE, LATCHED)
    publisher.publish(Header(frame_id=name))
    return publisher


def used(subscription: AdaptiveSubscription) -> ReliabilityPolicy:
    assert subscription._subscription
    return subscription._subscription.qos_profile.reliability


def durability(subscription: AdaptiveSubscription) -> DurabilityPolicy:
    assert subscription._subscription
    return subscription._subscription.qos_profile.durability


def test_it_follows_the_publishers_that_come_and_go(context: Any) -> None:
    node, peer = Node("node", context=context), Node("peer", context=context)
    spinner = Spinner(context, node, peer)
    received: list[Header] = []
    subscription = AdaptiveSubscription(node, Header, "input", received.append)
    subscription.open()
    assert used(subscription) == BEST_EFFORT, "compatible with whatever may come"
    reliable = publish(peer, RELIABLE)
    spinner.until(lambda: used(subscription) == RELIABLE, "reliable", again=subscription.adapt)
    hasty = publish(peer, BEST_EFFORT)
    spinner.until(
        lambda: used(subscription) == BEST_EFFORT, "best effort", again=subscription.adapt
    )
    for publisher in (reliable, hasty):
        received.clear()
        spinner.until(
            lambda: bool(received),
            "a message of each",
            again=lambda publisher=publisher: publisher.publish(Header()),
        )
    peer.destroy_publisher(hasty)
    spinner.until(
        lambda: used(subscription) == RELIABLE, "reliable again", again=subscription.adapt
    )
    subscription.close()
    spinner.until(lambda: reliable.get_subscription_count() == 0, "closed")
    subscription.adapt()
    assert subscription._subscription is None


@pytest.mark.parametrize("fixed", [RELIABLE, BEST_EFFORT])
def test_an_override_is_kept(context: Any, fixed: ReliabilityPolicy) -> None:
    overrides = [
        Parameter(OVERRIDE + "reliability", value=fixed.name.lower()),
        Parameter(OVERRIDE + "depth", value=1),
    ]
    node = Node("node", context=context, parameter_overrides=overrides)
    spinner = Spinner(context, node)
    subscription = AdaptiveSubscription(node, Header, "input", lambda message: None)
    other = BEST_EFFORT if fixed == RELIABLE else RELIABLE
    publisher = publish(node, other)
    spinner.until(lambda: node.count_publishers("/input") == 1, "discovery")
    for _ in range(2):  # the second time its parameters are declared already
        subscription.open()
        subscription.adapt()
        assert used(subscription) == fixed
        assert subscription._subscription.qos_profile.depth == 1
        subscription.close()
    node.destroy_publisher(publisher)


class Peers:
    """A subscription in a node, and another process's node beside it."""

    def __init__(self, context: Any, other: Any, **fixed: str) -> None:
        overrides = [Parameter(OVERRIDE + policy, value=value) for policy, value in fixed.items()]
        node = Node("node", context=context, parameter_overrides=overrides)
        self.camera = Node("camera", context=other)
        self.received: list[str] = []
        self.subscription = AdaptiveSubscription(
            node, Header, "input", lambda m: self.received.append(m.frame_id)
        )
        self._spinner = Spinner(context, node)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        self._spinner.until(happened, what, again=self.subscription.adapt)


@pytest.fixture
def make(context: Any) -> Iterator[Callable[..., Peers]]:
    with ros_context(context.get_domain_id()) as other:
        yield lambda **fixed: Peers(context, other, **fixed)


def test_what_was_sent_once_before_is_taken_of_latched_publishers(
    make: Callable[..., Peers],
) -> None:
    peers = make()
    first = latch(peers.camera, "first")
    peers.subscription.open()
    peers.until(lambda: peers.received == ["first"], "what was latched")
    assert durability(peers.subscription) == LATCHED and not peers.subscription.untaken_history()
    peers.camera.destroy_publisher(first)
    latch(peers.camera, "restarted")
    peers.until(lambda: peers.received[-1] == "restarted", "what its successor latched")
    peers.subscription.close()
    peers.subscription.open()
    peers.until(lambda: peers.received[-2:] == ["restarted"] * 2, "the same, after opening again")


def test_history_is_not_taken_beside_a_volatile_publisher(make: Callable[..., Peers]) -> None:
    """A latched subscription could not hear that one at all."""
    peers = make()
    hasty = publish(peers.camera, RELIABLE)
    peers.subscription.open()
    peers.until(lambda: used(peers.subscription) == RELIABLE, "the volatile one")
    latch(peers.camera, "latched")
    peers.until(lambda: peers.subscription.publishers() == 2, "both")
    line = peers.subscription.untaken_history()
    assert line.startswith("1 of 2 publishers of /input are latched")
    assert line.endswith(f"set {OVERRIDE}durability to transient_local, to hear them alone")
    peers.until(
        lambda: durability(peers.subscription) == VOLATILE, "volatile, as not all are latched"
    )
    received = peers.received
    peers._spinner.until(
        lambda: "new" in received, "new ones", again=lambda: hasty.publish(Header(frame_id="new"))
    )
    received.clear()
    peers.camera.destroy_publisher(hasty)
    peers.until(lambda: received == ["latched"], "what was latched, once the other one is gone")
    peers.subscription.close()


@pytest.mark.parametrize("fixed", ["volatile", "transient_local", "Transient_Local"])
def test_a_fixed_durability_is_kept(make: Callable[..., Peers], fixed: str) -> None:
    peers = make(durability=fixed)
    other = VOLATILE if fixed.lower() == "transient_local" else LATCHED
    publish(peers.camera, RELIABLE, other)
    peers.subscription.open()
    peers.until(lambda: used(peers.subscription) == RELIABLE, "reliability follows all the same")
    assert durability(peers.subscription).name.lower() == fixed.lower()
    assert bool(peers.subscription.mismatches()) == (other == VOLATILE)
    assert peers.subscription.untaken_history().endswith("to auto") == (other == LATCHED)
    peers.subscription.close()


def test_topics_of_its_kind_are_found_elsewhere(context: Any) -> None:
    node, peer = Node("node", context=context), Node("peer", context=context)
    subscription = AdaptiveSubscription(node, Header, "input", lambda message: None)
    for name in ("/front/header", "/back/header", "/input"):
        peer.create_publisher(Header, name, 1)
    peer.create_publisher(String, "/front/text", 1)
    peer.create_subscription(Header, "/silent", print, 1)
    node.create_publisher(Header, "~/own", 1)
    spinner = Spinner(context, node, peer)
    found = ("/back/header", "/front/header")
    spinner.until(lambda: subscription.elsewhere() == found, "the others' topics")


def test_a_publisher_that_cannot_be_heard_is_named_while_open(context: Any) -> None:
    overrides = [Parameter(OVERRIDE + "reliability", value="reliable")]
    node = Node("node", context=context, parameter_overrides=overrides)
    spinner = Spinner(context, node)
    subscription = AdaptiveSubscription(node, Header, "input", lambda message: None)
    publisher = publish(node, BEST_EFFORT)
    spinner.until(lambda: subscription.publishers() == 1, "discovery")
    assert subscription.mismatches() == ()
    subscription.open()
    spinner.until(lambda: subscription.turned_down["reliability"] == 1, "the middleware's report")
    (line,) = subscription.mismatches()
    assert "QoS of /input incompatible (reliability)" in str(line)
    subscription.close()
    assert subscription.mismatches() == ()
    node.destroy_publisher(publisher)
