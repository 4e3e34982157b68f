"""Publishes on /diagnostics how the node is and why nothing comes out of it (REP 107)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSProfile

from perceptiondlm_ros.ros.health.announcer import Announcer
from perceptiondlm_ros.ros.health.health import Health, Level, judge
from perceptiondlm_ros.ros.health.throttle import Throttle
from perceptiondlm_ros.ros.health.watch import Watch, WatchedTopic
from perceptiondlm_ros.ros.settings import Settings

if TYPE_CHECKING:
    from perceptiondlm_ros.ros.health.counters import Counters
    from perceptiondlm_ros.ros.health.status import Status

_PERIOD = 1.0
"""Seconds of real time: simulated time may stand still."""

_STOP_TIMEOUT = 5.0


class Diagnostics:
    """One status a second from a thread of its own, in every state of the lifecycle.

    A transition keeps the executor busy for as long as it takes to load a model or to build an
    engine, which is when its users want to know most.
    """

    def __init__(
        self,
        node: Node,
        counters: Counters,
        status: Status,
        topics: tuple[WatchedTopic, WatchedTopic, WatchedTopic],
        settings: Callable[[], Settings],
    ) -> None:
        """topics: those of images, detections and masks. settings: gives the present ones."""
        self._node = node
        self._watch = Watch(counters, status, *topics, settings)
        self._announcer = Announcer(_log_of(node))
        self._warn = Throttle(node.get_logger().error, period=60.0)
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
            self._attempt()

    def _attempt(self) -> None:
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001  (the next second may be better)
            if self._node.context.ok() and not self._ending.is_set():
                self._warn("failed", f"diagnostics failed: {type(error).__name__}: {error}")

    def _publish(self) -> None:
        seen, values = self._watch.look()
        health = judge(seen)
        self._announcer.look(time.monotonic(), health, seen.activity_for)
        name = self._node.get_fully_qualified_name().lstrip("/")
        message = DiagnosticArray(status=[status_message(name, health, values)])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def status_message(node: str, health: Health, values: Mapping[str, str]) -> DiagnosticStatus:
    """node: full name without the leading slash, so that the nodes of several cameras differ."""
    return DiagnosticStatus(
        level=bytes([health.level]),
        name=f"{node}: captioning",
        message=health.reason,
        hardware_id=socket.gethostname(),
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _log_of(node: Node) -> dict[Level, Callable[[str], object]]:
    logger = node.get_logger()
    # rclpy refuses one severity after another from the same line of code.
    return {
        Level.OK: lambda line: logger.info(line),
        Level.WARN: lambda line: logger.warning(line),
        Level.ERROR: lambda line: logger.error(line),
        Level.STALE: lambda line: logger.warning(line),
    }
