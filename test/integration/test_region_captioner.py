"""The node as its users run it: a process, topics, services and signals."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lifecycle_msgs.msg import State, Transition
from patience import PATIENCE
from ros_support import detection, detections, header, image
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


def publish(robot: Robot, nanoseconds: int, items: list | None = None) -> None:
    robot.images.publish(image(nanoseconds, width=160, height=120))
    robot.found.publish(detections(nanoseconds, items))


def test_captions_arrive_for_every_detection(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    pictures: list[Image] = []
    viewer = robot.peer.create_subscription(
        Image, "region_captioner/annotated_image", pictures.append, 10
    )
    robot.until(lambda: robot.peer.count_publishers(viewer.topic_name) > 0, "the annotated topic")
    items = [
        detection(10, 10, 60, 60, "7", "cup", 0.9),
        detection(500, 10, 560, 60, "8", "cup"),
        detection(80, 20, 150, 110, "9", "bowl", 0.5),
    ]
    stamps = iter(range(100 * SECOND, 10_000 * SECOND, SECOND // 2))
    robot.until(
        lambda: bool(pictures) and bool(robot.received),
        "descriptions and an annotated image",
        again=lambda: publish(robot, next(stamps), items),
    )
    message = robot.received[0]
    assert message.header.frame_id == "camera" and message.header.stamp.sec >= 100
    assert [(r.id, r.index, r.label) for r in message.regions] == [
        ("7", 0, "cup"),
        ("9", 2, "bowl"),
    ]
    assert all(0 <= region.confidence <= 1 for region in message.regions)
    assert all(region.caption_stamp == message.header.stamp for region in message.regions)
    assert message.dropped == 1
    assert message.model
    assert (pictures[0].width, pictures[0].height, pictures[0].encoding) == (160, 120, "rgb8")


def test_every_transition_by_its_service(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint, autostart=False)
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not robot.change(Transition.TRANSITION_ACTIVATE), "there is nothing to activate yet"
    for _ in range(2):
        assert robot.change(Transition.TRANSITION_CONFIGURE)
        assert robot.state() == State.PRIMARY_STATE_INACTIVE
        assert robot.change(Transition.TRANSITION_ACTIVATE)
        robot.until_active()
        robot.received.clear()
        publish(robot, 5 * SECOND)
        robot.until(lambda: bool(robot.received), "descriptions")
        assert robot.change(Transition.TRANSITION_DEACTIVATE)
        assert robot.state() == State.PRIMARY_STATE_INACTIVE
        robot.until(lambda: robot.images.get_subscription_count() == 0, "no more subscription")
        assert robot.change(Transition.TRANSITION_CLEANUP)
        assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert robot.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert robot.state() == State.PRIMARY_STATE_FINALIZED


def test_a_bad_checkpoint_is_one_clear_line_and_can_be_put_right(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    node = robot.start(checkpoint="/no/such/checkpoint")
    robot.until(lambda: bool(node.said("configure failed")), "the reason in the log")
    (line,) = node.said("configure failed")
    assert "/no/such/checkpoint" in line
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.set("checkpoint", str(tiny_checkpoint)).successful
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.until_active()
    publish(robot, 5 * SECOND)
    robot.until(lambda: bool(robot.received), "descriptions")
    assert not node.said("Traceback")


def test_parameters_apply_or_are_refused_with_the_reason(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    refused = robot.set("backend", "torch")
    assert not refused.successful and "cleanup" in refused.reason
    assert robot.set("max_regions", 1).successful
    items = [detection(10, 10, 60, 60, "7", score=0.1), detection(80, 20, 150, 110, "9", score=0.9)]
    publish(robot, 5 * SECOND, items)
    robot.until(lambda: bool(robot.received), "descriptions")
    assert [region.id for region in robot.received[0].regions] == ["9"]
    assert robot.received[0].dropped == 1


def test_nothing_that_arrives_breaks_it(robot: Robot, tiny_checkpoint: Path) -> None:
    node = robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    stamp = 0

    def lost(sent: Image | None, items: list, expected: int) -> None:
        """Publish a frame and wait for the message that counts what of it was dropped at last."""
        nonlocal stamp
        stamp += SECOND
        sent = image(stamp) if sent is None else sent
        sent.header = header(stamp)
        robot.received.clear()
        robot.images.publish(sent)
        robot.found.publish(detections(stamp, items))
        robot.until(
            lambda: any(message.dropped == expected for message in robot.received),
            f"an answer to frame {stamp}",
        )
        assert all(message.header == header(stamp) for message in robot.received)

    good = detection(8, 8, 24, 24)
    lost(None, [detection(math.nan, 0, 9, 9), good], 1)
    lost(None, [detection(0, 0, math.inf, 9), detection(9, 9, 9, 9), detection(9, 9, 2, 2)], 3)
    lost(None, [detection(1000, 1000, 1010, 1010), good], 1)
    lost(None, [], 0)
    lost(None, [good] * 10_000, 10_000 - 24)
    unreadable = image(0)
    unreadable.encoding = "no such encoding"
    lost(unreadable, [good, good], 2)
    short = image(0)
    short.height = 4000
    lost(short, [good], 1)
    lost(Image(), [good], 1)
    rotated = detection(20, 20, 40, 30)
    rotated.bbox.center.theta = 0.7
    lost(None, [rotated], 0)
    assert node.alive
    assert not node.said("Traceback")
    assert len(node.said("no such encoding")) == 1


def test_detections_without_images_are_told_and_images_alone_are_fine(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    node = robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    robot.found.publish(detections(5 * SECOND))
    robot.until(lambda: bool(node.said("but no image")), "the reason in the log")
    robot.images.publish(image(6 * SECOND))
    publish(robot, 7 * SECOND)
    robot.until(lambda: bool(robot.received), "descriptions")
    assert [message.header.stamp.sec for message in robot.received] == [7]
    assert node.end() == 0
    told = node.said("lost or out of order so far: 1 detections without an image")
    assert len(told) == 2, "at once, and the sum at the end"


def test_stamps_and_latency_follow_simulated_time(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint, use_sim_time=True)
    clock = robot.peer.create_publisher(Clock, "/clock", 10)
    robot.until_active()

    def again() -> None:
        clock.publish(Clock(clock=header(12 * SECOND).stamp))
        publish(robot, 10 * SECOND)

    robot.until(
        lambda: any(message.latency.sec == 2 for message in robot.received),
        "a latency in simulated time",
        again=again,
    )
    assert robot.received[-1].header == header(10 * SECOND)


def test_a_looping_bag_is_captioned_in_every_round(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    for seconds in (100, 101, 3, 4, 100, 3):
        robot.received.clear()
        publish(robot, seconds * SECOND)
        robot.until(lambda: bool(robot.received), f"descriptions of second {seconds}")
        assert robot.received[0].header.stamp.sec == seconds


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_told_to(
    robot: Robot, tiny_checkpoint: Path, sign: signal.Signals
) -> None:
    node = robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    assert node.end(sign) == 0
    assert not node.said("Traceback")


def test_an_impossible_parameter_is_one_line_and_a_failed_start(robot: Robot) -> None:
    node = robot.start(cache="none")
    robot.until(lambda: not node.alive, "the end of the node")
    assert node.end() == 1
    assert len(node.lines) == 1
    assert "parameter cache: is 'none', expected one of auto, exact, prefix" in node.lines[0]


def test_a_class_id_that_looks_like_a_number_needs_quotes(robot: Robot) -> None:
    unquoted = robot.start(detections__classes="0")
    assert unquoted.process.wait(PATIENCE) == 1
    unquoted.end()
    (line,) = unquoted.lines
    assert """write it in quotes: -p detections.classes:="'0'" on a command line""" in line
    node = robot.start(detections__classes="'0'", autostart=False)
    refused = robot.set("detections.classes", 0)
    assert not refused.successful and """detections.classes:="'0'\"""" in refused.reason
    assert robot.set("detections.classes", "1").successful
    assert node.end() == 0
