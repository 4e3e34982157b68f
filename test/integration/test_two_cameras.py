"""Two cameras: a node each, in a namespace and a process of its own, that share nothing."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import GetParameters
from ros_support import detection, detections, header, image

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000
CLOCKS = {
    name: itertools.count(first * SECOND, SECOND // 10)
    for name, first in {"left": 100, "right": 2000}.items()
}
"""Half an hour apart, so that a mix-up would look like jumps of the clock."""


def publishing(*sides: Robot) -> Callable[[], None]:
    def publish() -> None:
        for side in sides:
            stamp = header(next(CLOCKS[side.namespace]), side.namespace)
            sent = image(0, width=160, height=120)
            found = detections(0, [detection(10, 10, 60, 60, side.namespace, "cup", 0.9)])
            sent.header = found.header = stamp
            side.images.publish(sent)
            side.found.publish(found)

    return publish


def test_each_node_captions_its_own_camera_and_what_happens_to_one_does_not_touch_the_other(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    left, right = sides = [robot.beside(name) for name in CLOCKS]
    nodes = [side.start(checkpoint=tiny_checkpoint) for side in sides]
    for side in sides:
        side.until_active()
    both = publishing(*sides)
    robot.until(lambda: all(len(side.received) >= 5 for side in sides), "five of each", again=both)
    for side, node in zip(sides, nodes, strict=True):
        for message in side.received:
            assert message.header.frame_id == side.namespace
            assert [region.id for region in message.regions] == [side.namespace]
        stamps = [message.header.stamp.sec for message in side.received]
        assert stamps == sorted(stamps)
        assert not node.said("jumped backward")
    # What is published outside of both namespaces is heard by neither.
    for topic in ("/image", "/detections"):
        listeners = robot.peer.get_subscriptions_info_by_topic(topic)
        assert not {info.node_namespace for info in listeners} & {"/left", "/right"}

    assert left.set("max_regions", 1).successful
    for side, most in ((left, 1), (right, 24)):
        get = side.peer.create_client(GetParameters, "region_captioner/get_parameters")
        request = GetParameters.Request(names=["max_regions"])
        assert side.call(get, request).values[0].integer_value == most
    assert left.change(Transition.TRANSITION_DEACTIVATE)
    robot.until(lambda: left.images.get_subscription_count() == 0, "no more subscription")
    right.received.clear()
    robot.until(lambda: len(right.received) >= 3, "the right one", again=both)
    assert right.images.get_subscription_count() == 1
    assert nodes[0].end(signal.SIGKILL) == -signal.SIGKILL
    right.received.clear()
    robot.until(lambda: len(right.received) >= 3, "the right one alone", again=publishing(right))
    assert nodes[1].end() == 0
    assert not nodes[1].said("Traceback")
