"""Every transition of the lifecycle, those that fail included, and `enabled` beside it."""

from __future__ import annotations

from typing import Any

import pytest
from lifecycle_msgs.msg import State
from rclpy.parameter import Parameter
from ros_robot import ERROR, FAILURE, SUCCESS, Robot
from ros_support import FakeCaptioner
from std_srvs.srv import SetBool

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.ros.settings import Settings

UNCONFIGURED = State.PRIMARY_STATE_UNCONFIGURED
INACTIVE = State.PRIMARY_STATE_INACTIVE
ACTIVE = State.PRIMARY_STATE_ACTIVE
FINALIZED = State.PRIMARY_STATE_FINALIZED


def reason(robot: Robot) -> str:
    """Why the last transition failed, if nothing has gone well since."""
    seen = robot.node.status.snapshot()
    return seen.failure.reason if seen.failures and seen.failure else ""


def stands(robot: Robot, state: int, activity: Activity) -> None:
    assert robot.state == state
    assert robot.node.status.snapshot().activity is activity


def works(robot: Robot, stamp: int) -> None:
    """An active node captions what comes."""
    robot.until_subscribed()
    before = len(robot.received)
    robot.until(
        lambda: robot.peer.count_publishers("/region_captioner/descriptions") > 0, "descriptions"
    )
    robot.frame(stamp)
    robot.until(lambda: len(robot.received) > before, "captions")


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("on purpose")


def test_the_usual_round(robot: Robot) -> None:
    node = robot.node
    stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)
    for turn in range(1, 3):
        robot.captioner = FakeCaptioner()
        assert node.trigger_configure() == SUCCESS
        stands(robot, INACTIVE, Activity.INACTIVE)
        for _ in range(2):
            assert node.trigger_activate() == SUCCESS
            stands(robot, ACTIVE, Activity.STREAMING)
            works(robot, turn * 10**9)
            assert node.trigger_deactivate() == SUCCESS
            stands(robot, INACTIVE, Activity.INACTIVE)
            robot.until_unsubscribed()
            assert not robot.captioner.closed.is_set(), "deactivate keeps the weights"
        assert len(robot.settings) == turn, "activate loads nothing"
        assert node.trigger_cleanup() == SUCCESS
        stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)
        assert robot.captioner.closed.is_set(), "cleanup frees them"
        robot.received.clear()


@pytest.mark.parametrize("steps", [[], ["configure"], ["configure", "activate"]])
def test_shutdown_from_every_state_frees_the_model_and_is_final(
    robot: Robot, steps: list[str]
) -> None:
    for step in steps:
        assert getattr(robot.node, f"trigger_{step}")() == SUCCESS
    assert robot.node.trigger_shutdown() == SUCCESS
    stands(robot, FINALIZED, Activity.FINALIZED)
    assert robot.captioner.closed.is_set() == bool(steps)
    robot.until_unsubscribed()
    assert robot.node.trigger_configure() == ERROR, "there is no way back"


@pytest.mark.parametrize("error", [CheckpointError("no config.json in /nowhere"), MemoryError()])
def test_a_failed_load_is_told_in_one_line_and_can_be_tried_again(
    robot: Robot, error: Exception
) -> None:
    def missing(settings: Settings) -> Any:
        raise error

    robot.load = missing
    told = f"configure failed: {type(error).__name__}: {error}".strip()
    for _ in range(2):
        robot.node.autostart()
        stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)
        assert reason(robot) == told
    assert robot.log.errors == [told] * 2
    robot.load = lambda settings: robot.captioner
    robot.node.autostart()
    stands(robot, ACTIVE, Activity.STREAMING)
    works(robot, 10**9)


def test_a_failed_warm_up_is_a_failed_configure(robot: Robot) -> None:
    robot.captioner.error = RuntimeError("no kernel image")
    assert robot.node.trigger_configure() == FAILURE
    assert robot.captioner.closed.is_set()
    stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_a_failed_activate_leaves_an_inactive_node_that_takes_nothing(
    robot: Robot, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert robot.node.trigger_configure() == SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr(getattr(robot.node, part), "open", fail)
        assert robot.node.trigger_activate() == FAILURE
    stands(robot, INACTIVE, Activity.INACTIVE)
    assert reason(robot) == "activate failed: RuntimeError: on purpose"
    robot.until_unsubscribed()
    assert not robot.captioner.closed.is_set()
    assert robot.node.trigger_activate() == SUCCESS
    works(robot, 10**9)


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_a_deactivate_that_fails_halfway_ends_unconfigured_with_nothing_held(
    robot: Robot, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot.start()
    close = getattr(robot.node, part).close
    failing = iter([True])

    def fail_once() -> None:
        if next(failing, False):
            raise RuntimeError("on purpose")
        close()

    with monkeypatch.context() as patch:
        patch.setattr(getattr(robot.node, part), "close", fail_once)
        assert robot.node.trigger_deactivate() == ERROR
    stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)
    assert reason(robot) == "deactivate failed: RuntimeError: on purpose", "still to be seen"
    assert robot.captioner.closed.is_set()
    robot.until_unsubscribed()
    robot.captioner = FakeCaptioner()
    robot.activate()
    works(robot, 10**9)


def test_a_cleanup_that_fails_ends_unconfigured(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert robot.node.trigger_configure() == SUCCESS
    told, failing = robot.node.monitor.tell_losses, iter([True])
    monkeypatch.setattr(
        robot.node.monitor,
        "tell_losses",
        lambda at_the_end: fail() if next(failing, False) else told(at_the_end),
    )
    assert robot.node.trigger_cleanup() == ERROR
    stands(robot, UNCONFIGURED, Activity.UNCONFIGURED)
    assert robot.captioner.closed.is_set()


@pytest.mark.parametrize(("step", "result"), [("deactivate", ERROR), ("shutdown", FAILURE)])
def test_a_node_that_can_not_end_well_is_finalized_freed_and_told(
    robot: Robot, step: str, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot.start()
    with monkeypatch.context() as patch:
        patch.setattr(robot.node.inputs, "close", fail)
        assert getattr(robot.node, f"trigger_{step}")() == result
        stands(robot, FINALIZED, Activity.FINALIZED)
    assert robot.captioner.closed.is_set(), "freed all the same"
    assert robot.log.errors[0] == f"{step} failed: RuntimeError: on purpose"


# ---- taking frames or not while active ----


def enable(robot: Robot, on: bool) -> SetBool.Response:
    return robot.call(SetBool, "enable", SetBool.Request(data=on))


def test_off_takes_no_frames_and_keeps_the_model_and_twice_is_as_good_as_once(
    robot: Robot,
) -> None:
    answer = enable(robot, False)
    assert not answer.success and "not active" in answer.message
    assert robot.node.get_parameter("enabled").value is True
    robot.start()
    activation = robot.node.outputs.activation
    for _ in range(2):
        assert enable(robot, True).success
        assert robot.node.outputs.activation == activation
    for _ in range(2):
        assert enable(robot, False).success
        stands(robot, ACTIVE, Activity.DISABLED)
    robot.until_unsubscribed()
    assert robot.node.get_parameter("enabled").value is False
    robot.node.set_parameters([Parameter("enabled", value=True)])
    stands(robot, ACTIVE, Activity.STREAMING)
    works(robot, 10**9)
    assert len(robot.settings) == 1 and not robot.captioner.closed.is_set()


def test_a_node_that_was_switched_off_stays_off_through_the_lifecycle(robot: Robot) -> None:
    robot.start()
    assert enable(robot, False).success
    assert robot.node.trigger_deactivate() == SUCCESS
    robot.node.set_parameters([Parameter("enabled", value=False)])
    stands(robot, INACTIVE, Activity.INACTIVE)
    assert robot.node.trigger_activate() == SUCCESS
    stands(robot, ACTIVE, Activity.DISABLED)
    robot.until_unsubscribed()
