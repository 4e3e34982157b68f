"""Two cameras: a node each, in a namespace and a process of its own, that share nothing."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from ros_support import detection, detections, header, image, taken_reliably
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.msg import RegionDescriptionArray

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


class Side:
    """One camera with its detector, its node and a listener, all in one namespace."""

    def __init__(self, robot: Robot, name: str, first: int, checkpoint: Path) -> None:
        self.robot, self.name = robot, name
        peer = robot.peer
        self.images = peer.create_publisher(Image, f"/{name}/image", 10)
        self.found = peer.create_publisher(Detection2DArray, f"/{name}/detections", 10)
        self.received: list[RegionDescriptionArray] = []
        node = f"/{name}/region_captioner"
        peer.create_subscription(
            RegionDescriptionArray, f"{node}/descriptions", self.received.append, 100
        )
        self.change = peer.create_client(ChangeState, f"{node}/change_state")
        self.state = peer.create_client(GetState, f"{node}/get_state")
        self.set = peer.create_client(SetParameters, f"{node}/set_parameters")
        self.get = peer.create_client(GetParameters, f"{node}/get_parameters")
        self.stamps = itertools.count(first * SECOND, SECOND // 10)
        self.process = robot.start(["-r", f"__ns:=/{name}"], checkpoint=checkpoint)

    def is_connected(self) -> bool:
        return (
            taken_reliably(self.robot.peer, f"/{self.name}/image", f"/{self.name}/detections")
            and self.images.get_subscription_count() > 0
            and self.found.get_subscription_count() > 0
            and self.robot.peer.count_publishers(f"/{self.name}/region_captioner/descriptions") > 0
        )

    def publish(self) -> None:
        stamp = next(self.stamps)
        sent = image(stamp, width=160, height=120)
        sent.header = header(stamp, self.name)
        self.images.publish(sent)
        items = [detection(10, 10, 60, 60, f"{self.name} 1", "cup", 0.9)]
        self.found.publish(detections(stamp, items))


def test_each_node_captions_its_own_camera_and_what_happens_to_one_does_not_touch_the_other(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    # Their clocks differ by half an hour, so that a mix-up would look like jumps of the clock.
    left = Side(robot, "left", 100, tiny_checkpoint)
    right = Side(robot, "right", 2000, tiny_checkpoint)
    sides = (left, right)
    robot.until(lambda: all(side.is_connected() for side in sides), "both nodes")

    def both() -> None:
        for side in sides:
            side.publish()

    robot.until(
        lambda: all(len(side.received) >= 5 for side in sides), "five results of each", again=both
    )
    for side in sides:
        for message in side.received:
            assert message.header.frame_id == side.name
            assert [region.id for region in message.regions] == [f"{side.name} 1"]
        stamps = [message.header.stamp.sec for message in side.received]
        assert stamps == sorted(stamps)
        assert not side.process.said("jumped backward")
    # What is published outside of both namespaces is heard by neither.
    for topic in ("/image", "/detections"):
        listeners = robot.peer.get_subscriptions_info_by_topic(topic)
        assert not {info.node_namespace for info in listeners} & {"/left", "/right"}

    limit = Parameter("max_regions", value=1).to_parameter_msg()
    robot.call(left.set, SetParameters.Request(parameters=[limit]))
    for side, most in ((left, 1), (right, 24)):
        request = GetParameters.Request(names=["max_regions"])
        assert robot.call(side.get, request).values[0].integer_value == most
    assert robot.change_of(left.change, left.state, Transition.TRANSITION_DEACTIVATE)
    robot.until(lambda: left.images.get_subscription_count() == 0, "no more subscription")
    right.received.clear()
    robot.until(lambda: len(right.received) >= 3, "the right one", again=both)
    assert right.images.get_subscription_count() == 1
    assert left.process.end(signal.SIGKILL) == -signal.SIGKILL
    right.received.clear()
    robot.until(lambda: len(right.received) >= 3, "the right one alone", again=right.publish)
    assert right.process.end() == 0
    assert not right.process.said("Traceback")
