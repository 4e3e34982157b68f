"""The streams that the node takes: images and detections, matched and handed to the mailbox.

Runs in the executor's thread; each callback only looks up stamps and moves references.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.captioning import Frame, nanoseconds
from perceptiondlm_ros.ros.counters import Counters
from perceptiondlm_ros.ros.mailbox import Mailbox
from perceptiondlm_ros.ros.matching import Matcher
from perceptiondlm_ros.ros.throttle import Throttle

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

_SETTLE_PERIOD = 0.2  # seconds between looks at detections that wait for their image


class Inputs:
    """Subscribes while open; what it matched is in `mailbox`, what it lost in `counters`."""

    def __init__(
        self, node: Node, mailbox: Mailbox[Frame], counters: Counters, warn: Throttle
    ) -> None:
        self._node = node
        self._mailbox = mailbox
        self._counters = counters
        self._warn = warn
        self._subscriptions: list[Subscription[Any]] = []
        self._jumps_told = counters.clock_jumps
        self._matcher: Matcher[Image, Detection2DArray] = Matcher(
            self._on_match, self._on_unmatched, counters, tolerance_ns=0, images_kept=1
        )
        # Waiting is measured in real time: simulated time may stand still.
        self._timer = node.create_timer(
            _SETTLE_PERIOD, self._settle, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    @property
    def opened(self) -> bool:
        return bool(self._subscriptions)

    def open(self) -> None:
        """Subscribe. rclpy's subscriptions know no lifecycle, so there are none while inactive."""
        self._subscriptions = [
            self._subscribe(Image, "image", self._on_image),
            self._subscribe(Detection2DArray, "detections", self._on_detections),
        ]
        self._timer.reset()

    def close(self) -> None:
        """Unsubscribe and forget what was not captioned yet, counted as withdrawn."""
        self._timer.cancel()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._matcher.clear()
        self._counters.withdrawn += self._mailbox.clear()

    def topic(self, name: str) -> str:
        return self._node.resolve_topic_name(name)

    def _subscribe(
        self, kind: type[Any], topic: str, callback: Callable[[Any], None]
    ) -> Subscription[Any]:
        # Sensor data: a frame lost on the way is better than one that comes late.
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
        )
        options = QoSOverridingOptions.with_default_policies()
        return self._node.create_subscription(
            kind, topic, callback, qos, qos_overriding_options=options
        )

    def _on_image(self, message: Image) -> None:
        self._read_parameters()
        self._matcher.add_image(nanoseconds(message.header.stamp), message)

    def _on_detections(self, message: Detection2DArray) -> None:
        self._read_parameters()
        stamp = nanoseconds(message.header.stamp)
        self._matcher.add_detections(stamp, message, time.monotonic())

    def _settle(self) -> None:
        self._read_parameters()
        self._matcher.settle(time.monotonic())
        if self._counters.clock_jumps > self._jumps_told:
            self._jumps_told = self._counters.clock_jumps
            self._warn("clock", "stamps jumped backward; what was buffered is forgotten")

    def _read_parameters(self) -> None:
        tolerance = parameters.read(self._node, "matching.tolerance", float)
        self._matcher.tolerance_ns = round(tolerance * 1e9)
        self._matcher.images_kept = parameters.read(self._node, "matching.images_kept", int)

    def _on_match(self, image: Image, detections: Detection2DArray) -> None:
        self._counters.replaced += self._mailbox.put(Frame(image, detections))

    def _on_unmatched(self, stamp: int, gap: float | None) -> None:
        if gap is not None:
            line = (
                f"the image nearest to the detections is {gap:.3f} s away, above "
                f"matching.tolerance {self._matcher.tolerance_ns / 1e9:.3f} s"
            )
        elif stamp == 0:
            line = f"detections on {self.topic('detections')} have no stamp, and no such image came"
        else:
            line = (
                f"detections came on {self.topic('detections')}, "
                f"but no image with a stamp on {self.topic('image')}"
            )
        self._warn("unmatched", f"{line}; {self._counters.unmatched} unmatched so far")
