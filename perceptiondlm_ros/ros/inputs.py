"""The streams that the node takes: images and detections, matched and handed to the mailbox.

Runs in the executor's thread; each callback only looks up stamps and moves references.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.messages.matching import Matcher
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.conversions import nanoseconds
from perceptiondlm_ros.ros.counters import Counters, LossLog
from perceptiondlm_ros.ros.frames import Frame
from perceptiondlm_ros.ros.mailbox import Mailbox
from perceptiondlm_ros.ros.stream import Stream
from perceptiondlm_ros.ros.throttle import Throttle

if TYPE_CHECKING:
    from rclpy.node import Node

_SETTLE_PERIOD = 0.2  # seconds between looks at waiting detections and at the publishers


class Inputs:
    """Subscribes while open; puts what it matched into a mailbox, counts what it lost.

    Each frame bears the number of the activation, so that one of an earlier one can be told.
    """

    def __init__(self, node: Node, counters: Counters, losses: LossLog, warn: Throttle) -> None:
        self._activation = 0
        self._node = node
        self._mailbox: Mailbox[Frame] = Mailbox()
        self._counters = counters
        self._losses = losses
        self._warn = warn
        self.images = Stream(node, Image, "image", self._on_image)
        self.detections = Stream(node, Detection2DArray, "detections", self._on_detections)
        self._jumps_told = counters.clock_jumps
        self._matcher: Matcher[Image, Detection2DArray] = Matcher(
            self._on_match, self._on_unmatched, counters, tolerance_ns=0, images_kept=1
        )
        # Waiting is measured in real time: simulated time may stand still.
        self._timer = node.create_timer(
            _SETTLE_PERIOD, self._settle, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    def open(self, mailbox: Mailbox[Frame], activation: int) -> None:
        """Subscribe. rclpy's subscriptions know no lifecycle, so there are none while inactive."""
        self._mailbox = mailbox
        self._activation = activation
        self.images.open()
        self.detections.open()
        self._timer.reset()

    def close(self) -> None:
        """Unsubscribe and forget what was not captioned yet, counted as withdrawn."""
        self._timer.cancel()
        self.images.close()
        self.detections.close()
        self._matcher.clear()
        self._counters.withdrawn += self._mailbox.clear()

    def _on_image(self, message: Image) -> None:
        self._read_parameters()
        self._matcher.add_image(nanoseconds(message.header.stamp), message)

    def _on_detections(self, message: Detection2DArray) -> None:
        self._read_parameters()
        stamp = nanoseconds(message.header.stamp)
        self._matcher.add_detections(stamp, message, time.monotonic())

    def _settle(self) -> None:
        self.images.fit()
        self.detections.fit()
        self._read_parameters()
        self._matcher.settle(time.monotonic())
        if self._counters.clock_jumps > self._jumps_told:
            self._jumps_told = self._counters.clock_jumps
            self._warn("clock", "stamps jumped backward; what was buffered is forgotten")
        self._losses.on_the_way()

    def _read_parameters(self) -> None:
        tolerance = parameters.read(self._node, "matching.tolerance", float)
        self._matcher.tolerance_ns = round(tolerance * 1e9)
        self._matcher.images_kept = parameters.read(self._node, "matching.images_kept", int)

    def _on_match(self, image: Image, detections: Detection2DArray) -> None:
        self._counters.replaced += self._mailbox.put(Frame(image, detections, self._activation))

    def _on_unmatched(self, stamp: int, gap: float | None) -> None:
        if gap is not None:
            line = (
                f"the image nearest to the detections is {gap:.3f} s away, above "
                f"matching.tolerance {self._matcher.tolerance_ns / 1e9:.3f} s"
            )
        elif stamp == 0:
            line = f"detections on {self.detections.topic} have no stamp, and no such image came"
        else:
            line = (
                f"detections came on {self.detections.topic}, "
                f"but no image with a stamp on {self.images.topic}"
            )
        self._warn("unmatched", f"{line}; {self._counters.unmatched} unmatched so far")
