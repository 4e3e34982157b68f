"""Switching the stream on and off while the node is active."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rclpy.parameter import Parameter
from ros_robot import SUCCESS, Robot, running_robot
from std_srvs.srv import SetBool

from perceptiondlm_ros.ros.health.status import Activity

SECOND = 10**9


@pytest.fixture
def robot() -> Iterator[Robot]:
    with running_robot() as robot:
        yield robot


def enable(robot: Robot, on: bool) -> SetBool.Response:
    return robot.call(SetBool, "enable", SetBool.Request(data=on))


def activity(robot: Robot) -> Activity:
    return robot.node.status.snapshot().activity


def test_off_takes_no_frames_and_keeps_the_model(robot: Robot) -> None:
    robot.start()
    assert enable(robot, False).success
    assert activity(robot) is Activity.DISABLED
    robot.until_unsubscribed()
    assert robot.node.get_parameter("enabled").value is False
    assert not robot.captioner.closed.is_set()
    assert enable(robot, True).success
    assert activity(robot) is Activity.STREAMING
    robot.until_subscribed()
    robot.frame(SECOND)
    robot.until(lambda: bool(robot.received), "captions")
    assert len(robot.settings) == 1


@pytest.mark.parametrize("on", [True, False])
def test_twice_is_as_good_as_once(robot: Robot, on: bool) -> None:
    robot.start()
    activation = robot.node.outputs.activation
    for _ in range(2):
        assert enable(robot, on).success
    assert robot.node.outputs.activation == (activation if on else 0)


def test_it_is_refused_while_the_node_is_not_active(robot: Robot) -> None:
    answer = enable(robot, False)
    assert not answer.success and "not active" in answer.message
    assert robot.node.get_parameter("enabled").value is True


def test_the_parameter_does_the_same(robot: Robot) -> None:
    robot.start()
    robot.node.set_parameters([Parameter("enabled", value=False)])
    robot.until(lambda: activity(robot) is Activity.DISABLED, "disabled")
    robot.until_unsubscribed()
    robot.node.set_parameters([Parameter("enabled", value=True)])
    robot.until(lambda: activity(robot) is Activity.STREAMING, "enabled")
    robot.until_subscribed()


def test_a_node_that_was_switched_off_stays_off_through_the_lifecycle(robot: Robot) -> None:
    robot.start()
    assert enable(robot, False).success
    assert robot.node.trigger_deactivate() == SUCCESS
    robot.node.set_parameters([Parameter("enabled", value=False)])
    assert activity(robot) is Activity.INACTIVE
    assert robot.node.trigger_activate() == SUCCESS
    assert activity(robot) is Activity.DISABLED
    robot.until_unsubscribed()


def test_a_pass_that_ends_after_switching_off_is_not_published(robot: Robot) -> None:
    robot.start()
    robot.hold(SECOND)
    assert enable(robot, False).success
    robot.captioner.gate.set()
    robot.until(lambda: robot.node.counters.frames_discarded == 1, "the pass to end")
    assert not robot.received
