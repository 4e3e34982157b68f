"""What the node's own process says about itself, from its start to its first captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from ros_support import detections, image

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


class Operator:
    """Listens to /diagnostics."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self.told: list[DiagnosticArray] = []
        robot.peer.create_subscription(DiagnosticArray, "/diagnostics", self.told.append, 10)

    def hear(self, level: bytes, reason: str, again: Callable[[], object] | None = None) -> None:
        def heard() -> bool:
            statuses = [status for array in self.told for status in array.status]
            return any(s.level == level and reason in s.message for s in statuses)

        self._robot.until(heard, f"{reason} on /diagnostics", again=again)
        self.told.clear()


@pytest.fixture
def operator(robot: Robot) -> Operator:
    return Operator(robot)


def test_every_transition_by_its_service_and_what_is_told_of_each_state(
    robot: Robot, operator: Operator, tiny_checkpoint: Path
) -> None:
    process = robot.start(checkpoint=tiny_checkpoint, autostart=False)
    operator.hear(DiagnosticStatus.WARN, "unconfigured")
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not robot.change(Transition.TRANSITION_ACTIVATE), "there is nothing to activate yet"
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    operator.hear(DiagnosticStatus.WARN, "inactive")
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    operator.hear(DiagnosticStatus.WARN, "waiting for images: 1 publisher has sent nothing")
    robot.until_active()
    stamps = iter(range(100 * SECOND, 10_000 * SECOND, SECOND // 2))

    def publish() -> None:
        stamp = next(stamps)
        robot.images.publish(image(stamp))
        robot.found.publish(detections(stamp))

    robot.until(lambda: bool(robot.received), "captions", again=publish)
    operator.hear(DiagnosticStatus.OK, "captioning", again=publish)
    told = [line for line in process.lines if "waiting for images" in line]
    assert len(told) == 1, "told once, not every second"
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    robot.until(lambda: robot.images.get_subscription_count() == 0, "no more subscription")
    assert robot.change(Transition.TRANSITION_CLEANUP)
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert robot.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert robot.state() == State.PRIMARY_STATE_FINALIZED
    assert process.end() == 0 and not process.said("diagnostics failed")


def test_a_bad_checkpoint_is_one_clear_line_stays_on_diagnostics_and_can_be_put_right(
    robot: Robot, operator: Operator, tiny_checkpoint: Path
) -> None:
    node = robot.start(checkpoint="/no/such/checkpoint")
    robot.until(lambda: bool(node.said("configure failed")), "the reason in the log")
    (line,) = node.said("configure failed")
    assert "/no/such/checkpoint" in line
    operator.hear(DiagnosticStatus.ERROR, "configure failed: CheckpointError")
    operator.hear(DiagnosticStatus.ERROR, "configure failed: CheckpointError")
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.set("checkpoint", str(tiny_checkpoint)).successful
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    robot.until_active()
    robot.images.publish(image(5 * SECOND))
    robot.found.publish(detections(5 * SECOND))
    robot.until(lambda: bool(robot.received), "descriptions")
    assert not node.said("Traceback")
