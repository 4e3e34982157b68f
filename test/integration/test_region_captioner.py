"""The node as its users run it: a process, topics, services and signals."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from patience import PATIENCE
from ros_support import detections, header, image
from rosgraph_msgs.msg import Clock

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


def publish(robot: Robot, nanoseconds: int) -> None:
    robot.images.publish(image(nanoseconds, width=160, height=120))
    robot.found.publish(detections(nanoseconds))


def test_stamps_and_latency_follow_simulated_time(robot: Robot, tiny_checkpoint: Path) -> None:
    node = robot.start(checkpoint=tiny_checkpoint, use_sim_time=True)
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
    assert node.end(signal.SIGTERM) == 0
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
