"""Publishes on /diagnostics how the node is and why nothing comes out of it (REP 107)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSProfile

from perceptiondlm_ros.ros.health.faults import Level
from perceptiondlm_ros.ros.health.judging import Condition, Health, judge
from perceptiondlm_ros.ros.health.monitor import Monitor, Throttle
from perceptiondlm_ros.ros.health.watch import Watch, WatchedTopic
from perceptiondlm_ros.ros.settings import Settings

_PERIOD = 1.0
"""Seconds of real time: simulated time may stand still."""

_STOP_TIMEOUT = 5.0

# Whoever sees these happen writes a line of its own at once: a transition, a pass, the matching.
_TOLD_ELSEWHERE = {
    *(Condition.FINALIZED, Condition.TRANSITION_FAILED),
    *(Condition.UNCONFIGURED, Condition.INACTIVE, Condition.DISABLED),
    *(Condition.OUT_OF_MEMORY, Condition.FAILING),
    *(Condition.UNMATCHED, Condition.REGIONS_DROPPED, Condition.STARTING),
    Condition.MASKS_MISSING,
}
_FIRST_REMINDER = 10.0
"""Seconds after which a long step is told again, then after twice as long each time."""


class Diagnostics:
    """One status a second from a thread of its own, in every state of the lifecycle.

    A transition keeps the executor busy for as long as it takes to load a model or to build an
    engine, which is when its users want to know most.
    """

    def __init__(
        self,
        node: Node,
        monitor: Monitor,
        topics: tuple[WatchedTopic, WatchedTopic, WatchedTopic],
        settings: Callable[[], Settings],
    ) -> None:
        """Start the thread.

        topics: those of images, detections and masks. settings: gives the present ones.
        """
        self._node = node
        self._monitor = monitor
        self._watch = Watch(monitor, *topics, settings)
        self._announcer = Announcer(monitor.tell)
        self._throttle = Throttle(period=60.0)
        # Not a lifecycle publisher, which is silent while the node is not active.
        self._publisher = Node.create_publisher(
            node, DiagnosticArray, "/diagnostics", QoSProfile(depth=10)
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="diagnostics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """To be called before the node is destroyed."""
        self._ending.set()
        self._thread.join(_STOP_TIMEOUT)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + _PERIOD, time.monotonic())  # what was missed is not caught up with
            try:
                self._publish()
            except Exception as error:  # noqa: BLE001  (the next second may be better)
                if self._node.context.ok() and not self._ending.is_set():
                    line = f"diagnostics failed: {type(error).__name__}: {error}"
                    if told := self._throttle("failed", line):
                        self._monitor.tell(Level.ERROR, told)

    def _publish(self) -> None:
        seen, values = self._watch.look()
        health = judge(seen)
        self._announcer.look(time.monotonic(), health, seen.activity_for)
        # With its full name, so that the nodes of several cameras differ.
        name = self._node.get_fully_qualified_name().lstrip("/")
        status = DiagnosticStatus(
            level=bytes([health.level]),
            name=f"{name}: captioning",
            message=health.reason,
            hardware_id=socket.gethostname(),
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


class Announcer:
    """Tells the log when the node's condition changes: once for each change, not once a second.

    A condition that comes and goes is told once a `period` of seconds, whatever it does.
    """

    def __init__(self, write: Callable[[Level, str], object], period: float = 10.0) -> None:
        self._write = write
        self._period = period
        self._condition: Condition | None = None
        self._told: dict[Condition, float] = {}
        self._reminder = _FIRST_REMINDER

    def look(self, now: float, health: Health, activity_for: float = 0.0) -> None:
        """Tell what has changed. now: a monotonic clock, in seconds.

        activity_for: how long a long step has run.
        """
        if health.condition is Condition.BUSY:
            self._remind(health, activity_for)
        elif health.condition in _TOLD_ELSEWHERE:
            self._condition = health.condition
        elif health.condition is not self._condition:
            told = self._told.get(health.condition)
            if told is None or now - told >= self._period:
                self._condition = health.condition
                self._told[health.condition] = now
                self._write(health.level, health.reason)

    def _remind(self, health: Health, activity_for: float) -> None:
        self._condition = health.condition
        if activity_for < _FIRST_REMINDER:
            self._reminder = _FIRST_REMINDER
        elif activity_for >= self._reminder:
            self._reminder *= 2
            self._write(Level.OK, health.reason)
