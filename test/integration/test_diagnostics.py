"""What the node's own process says about itself, from its start to its first captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from ros_support import detections, image

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


def test_every_transition_by_its_service_and_what_is_told_of_each_state(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    told: list[DiagnosticStatus] = []
    robot.peer.create_subscription(
        DiagnosticArray, "/diagnostics", lambda array: told.extend(array.status), 10
    )

    def hear(level: bytes, reason: str, again: Callable[[], object] | None = None) -> None:
        robot.until(
            lambda: any(s.level == level and reason in s.message for s in told),
            f"{reason} on /diagnostics",
            again=again,
        )
        told.clear()

    process = robot.start(checkpoint=tiny_checkpoint, autostart=False)
    hear(DiagnosticStatus.WARN, "unconfigured")
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert not robot.change(Transition.TRANSITION_ACTIVATE), "there is nothing to activate yet"
    assert robot.change(Transition.TRANSITION_CONFIGURE)
    hear(DiagnosticStatus.WARN, "inactive")
    assert robot.change(Transition.TRANSITION_ACTIVATE)
    hear(DiagnosticStatus.WARN, "waiting for images: 1 publisher has sent nothing")
    robot.until_active()
    stamps = iter(range(100 * SECOND, 10_000 * SECOND, SECOND // 2))

    def publish() -> None:
        stamp = next(stamps)
        robot.images.publish(image(stamp))
        robot.found.publish(detections(stamp))

    robot.until(lambda: bool(robot.received), "captions", again=publish)
    hear(DiagnosticStatus.OK, "captioning", again=publish)
    lines = [line for line in process.lines if "waiting for images" in line]
    assert len(lines) == 1, "told once, not every second"
    assert robot.change(Transition.TRANSITION_DEACTIVATE)
    robot.until(lambda: robot.images.get_subscription_count() == 0, "no more subscription")
    assert robot.change(Transition.TRANSITION_CLEANUP)
    assert robot.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert robot.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert robot.state() == State.PRIMARY_STATE_FINALIZED
    assert process.end() == 0 and not process.said("diagnostics failed")
