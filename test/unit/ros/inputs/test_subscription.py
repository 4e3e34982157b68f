"""An input fits its quality of service to its publishers, unless the user has fixed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from log_support import Log
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_support import Spinner, ros_context
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header, String

from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs import camera_topics
from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED, VOLATILE = DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE
OVERRIDE = "qos_overrides./input.subscription."


class Peers:
    """A subscription in a node, and a camera in another process's context beside it."""

    def __init__(self, context: Any, other: Any, **fixed: str) -> None:
        overrides = [Parameter(OVERRIDE + policy, value=value) for policy, value in fixed.items()]
        self.node = Node("node", context=context, parameter_overrides=overrides)
        self.camera = Node("camera", namespace="/front", context=other)
        self.received: list[str] = []
        self.subscription = AdaptiveSubscription(
            self.node, Header, "input", lambda m: self.received.append(m.frame_id)
        )
        self.spinner = Spinner(context, self.node)

    def publish(
        self,
        reliability: ReliabilityPolicy,
        durability: DurabilityPolicy = VOLATILE,
        kind: type = Header,
    ) -> Any:
        qos = QoSProfile(depth=1, reliability=reliability, durability=durability)
        return self.camera.create_publisher(kind, "/input", qos)

    def latch(self, name: str) -> Any:
        """A publisher that has sent this before anybody listened."""
        publisher = self.publish(RELIABLE, LATCHED)
        publisher.publish(Header(frame_id=name))
        return publisher

    def until(self, happened: Callable[[], bool], what: str) -> None:
        self.spinner.until(happened, what, again=self.subscription.take)

    @property
    def qos(self) -> QoSProfile:
        assert self.subscription._subscription
        return self.subscription._subscription.qos_profile

    def lines(self) -> list[str]:
        return [mismatch.line for mismatch in self.subscription.mismatches()]


@pytest.fixture
def make() -> Iterator[Callable[..., Peers]]:
    with ros_context() as context, ros_context(context.get_domain_id()) as other:
        yield lambda **fixed: Peers(context, other, **fixed)


def test_it_follows_the_publishers_that_come_and_go(make: Callable[..., Peers]) -> None:
    peers = make()
    peers.subscription.take()
    assert peers.qos.reliability == BEST_EFFORT, "compatible with whatever may come"
    reliable = peers.publish(RELIABLE)
    peers.until(lambda: peers.qos.reliability == RELIABLE, "reliable")
    hasty = peers.publish(BEST_EFFORT)
    peers.until(lambda: peers.qos.reliability == BEST_EFFORT, "best effort")
    for publisher in (reliable, hasty):
        peers.received.clear()
        peers.spinner.until(
            lambda: bool(peers.received),
            "a message of each",
            again=lambda publisher=publisher: publisher.publish(Header()),
        )
    peers.camera.destroy_publisher(hasty)
    peers.until(lambda: peers.qos.reliability == RELIABLE, "reliable again")
    peers.subscription.close()
    peers.spinner.until(lambda: reliable.get_subscription_count() == 0, "closed")


@pytest.mark.parametrize(
    ("policy", "fixed"),
    [
        *(("reliability", "reliable"), ("reliability", "best_effort")),
        *(("durability", "volatile"), ("durability", "Transient_Local")),
    ],
)
def test_an_override_is_kept_and_what_it_leaves_unheard_is_told(
    make: Callable[..., Peers], policy: str, fixed: str
) -> None:
    peers = make(**{policy: fixed})
    others = {"reliable": BEST_EFFORT, "best_effort": RELIABLE}
    strict = fixed in ("reliable", "Transient_Local")
    peers.publish(others.get(fixed, RELIABLE), LATCHED if fixed == "volatile" else VOLATILE)
    peers.spinner.until(lambda: peers.subscription.seen(None).publishers == 1, "discovery")
    for _ in range(2):
        peers.subscription.take()
        peers.subscription.take()
        assert getattr(peers.qos, policy).name.lower() == fixed.lower()
        assert bool(peers.subscription.mismatches()) == strict
        assert peers.subscription.untaken_history().endswith("to auto") == (fixed == "volatile")
        peers.subscription.close()


def test_what_was_sent_once_before_is_taken_of_latched_publishers(
    make: Callable[..., Peers],
) -> None:
    peers = make()
    first = peers.latch("first")
    peers.subscription.take()
    peers.until(lambda: peers.received == ["first"], "what was latched")
    assert peers.qos.durability == LATCHED and not peers.subscription.untaken_history()
    peers.camera.destroy_publisher(first)
    peers.latch("restarted")
    peers.until(lambda: peers.received[-1] == "restarted", "what its successor latched")
    peers.subscription.close()
    peers.subscription.take()
    peers.until(lambda: peers.received[-2:] == ["restarted"] * 2, "the same, after opening again")


def test_history_is_not_taken_beside_a_volatile_publisher(make: Callable[..., Peers]) -> None:
    """A latched subscription could not hear that one at all."""
    peers = make()
    hasty = peers.publish(RELIABLE)
    peers.subscription.take()
    peers.until(lambda: peers.qos.reliability == RELIABLE, "the volatile one")
    peers.latch("latched")
    peers.until(lambda: peers.subscription.seen(None).publishers == 2, "both")
    line = peers.subscription.untaken_history()
    assert line.startswith("1 of 2 publishers of /input are latched")
    assert line.endswith(f"set {OVERRIDE}durability to transient_local, to hear them alone")
    peers.until(lambda: peers.qos.durability == VOLATILE, "volatile, as not all are latched")
    peers.spinner.until(
        lambda: "new" in peers.received,
        "new ones",
        again=lambda: hasty.publish(Header(frame_id="new")),
    )
    peers.received.clear()
    peers.camera.destroy_publisher(hasty)
    peers.until(lambda: peers.received == ["latched"], "what was latched, as the other one is gone")


def test_topics_of_its_kind_are_looked_for_elsewhere_where_nobody_publishes_and_nothing_came(
    make: Callable[..., Peers],
) -> None:
    peers = make()
    for name in ("/front/header", "/back/header"):
        peers.camera.create_publisher(Header, name, 1)
    peers.camera.create_publisher(String, "/front/text", 1)
    peers.camera.create_subscription(Header, "/silent", print, 1)
    peers.node.create_publisher(Header, "~/own", 1)
    found, seen = ("/back/header", "/front/header"), peers.subscription.seen
    peers.spinner.until(lambda: seen(None).elsewhere == found, "the others' topics")
    assert seen(0.5).elsewhere == ()
    peers.publish(RELIABLE)
    peers.spinner.until(lambda: seen(None).publishers == 1, "a publisher")
    assert seen(None).elsewhere == ()


def test_the_middlewares_report_is_told_where_the_graph_shows_nothing(
    make: Callable[..., Peers],
) -> None:
    peers = make()
    peers.publish(RELIABLE)
    peers.spinner.until(lambda: peers.subscription.seen(None).publishers == 1, "the publisher")
    peers.subscription.turned_down["liveliness"] = 1
    (report,) = peers.subscription.seen(None).mismatches
    assert report.line.startswith("QoS of /input incompatible (liveliness)")
    assert not peers.subscription.seen(0.5).mismatches, "something is heard"


@pytest.mark.parametrize(
    ("offered", "fixed", "policies", "cure"),
    [
        ((BEST_EFFORT, VOLATILE), {"reliability": "reliable"}, "reliability", "{}reliability to"),
        ((RELIABLE, VOLATILE), {"durability": "transient_local"}, "durability", "{}durability to"),
        (
            (BEST_EFFORT, VOLATILE),
            {"reliability": "reliable", "durability": "transient_local"},
            "reliability, durability",
            "{0}reliability and {0}durability to",
        ),
    ],
)
def test_publishers_that_can_not_be_heard_are_named_while_open_with_the_policy_and_what_to_do(
    make: Callable[..., Peers], offered: Any, fixed: dict[str, str], policies: str, cure: str
) -> None:
    peers = make(**fixed)
    for publisher in (offered, offered, (RELIABLE, LATCHED)):
        peers.publish(*publisher)
    infos = peers.node.get_publishers_info_by_topic
    peers.spinner.until(
        lambda: [info.node_name for info in infos("/input")] == ["camera"] * 3, "names too"
    )
    assert peers.lines() == []
    peers.subscription.take()
    first, second = peers.lines()
    assert first == second and "ERROR" not in first and "\n" not in first
    assert first.startswith(f"QoS of /input incompatible ({policies}): /front/camera has ")
    assert first.endswith(f"; set {cure.format(OVERRIDE)} auto")
    turned_down = peers.subscription.turned_down
    peers.spinner.until(lambda: turned_down.total() == 2, "the middleware's report of both")


def test_a_publisher_of_another_type_is_named(make: Callable[..., Peers]) -> None:
    peers = make()
    peers.publish(RELIABLE, kind=String)
    peers.subscription.take()
    told = "type of /input differs: /front/camera publishes std_msgs/msg/String, this node takes "
    peers.until(lambda: any(line.startswith(told) for line in peers.lines()), "a line")
    assert "std_msgs/msg/Header" in peers.lines()[0]


def test_why_no_camera_info_comes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_topics, "_PATIENCE", 0.0)
    fixed = Parameter("qos_overrides./camera_info.subscription.reliability", value="reliable")
    log = Log()
    with ros_context() as context:
        node = Node("node", context=context, parameter_overrides=[fixed])
        qos = QoSProfile(depth=1, reliability=BEST_EFFORT)
        camera = Node("camera", context=context)
        camera.create_publisher(CameraInfo, "/camera_info", qos)
        topics = camera_topics.CameraTopics(node, lambda: True, Monitor(log))
        Spinner(context, node).until(
            lambda: node.count_publishers("/camera_info") == 1, "discovery"
        )
        topics.open()
        assert topics.camera_info() is None
    (line,) = log.warnings
    assert line.startswith("no markers: nothing came on /camera_info; QoS of /camera_info ")
    assert "incompatible (reliability)" in line and "Fault" not in line
