"""The streams that the node takes: images, detections and masks, matched and handed on.

Runs in the executor's thread; each callback only looks up stamps and moves references.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.messages.descriptions import nanoseconds
from perceptiondlm_ros.messages.matching import Limits, Matcher, Unmatched
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.health.counters import Counters, LossLog
from perceptiondlm_ros.ros.health.throttle import Throttle
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.inputs.stream import Stream
from perceptiondlm_ros.ros.mailbox import Mailbox

if TYPE_CHECKING:
    from rclpy.node import Node

    AnyImage: TypeAlias = Image | CompressedImage

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
        self.images = _image_stream(node, self._on_image)
        self.detections = Stream(node, Detection2DArray, "detections", self._on_detections)
        self.masks = Stream(node, Image, "masks", self._on_masks)
        self._jumps_told = counters.clock_jumps
        self._masks_missing_told = counters.masks_missing
        self._matcher: Matcher[AnyImage, Detection2DArray, Image] = Matcher(
            self._on_match, self._on_unmatched, counters, read_limits(node), _size
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
        self._open_masks_if_wanted()
        self._timer.reset()

    def close(self) -> None:
        """Unsubscribe and forget what was not captioned yet, counted as withdrawn."""
        self._timer.cancel()
        for stream in (self.images, self.detections, self.masks):
            stream.close()
        self._matcher.clear()
        self._counters.withdrawn += self._mailbox.clear()

    def _on_image(self, message: AnyImage) -> None:
        self._matcher.limits = read_limits(self._node)
        self._matcher.add_image(nanoseconds(message.header.stamp), message)

    def _on_detections(self, message: Detection2DArray) -> None:
        self._matcher.limits = read_limits(self._node)
        stamp = nanoseconds(message.header.stamp)
        self._matcher.add_detections(stamp, message, time.monotonic())

    def _on_masks(self, message: Image) -> None:
        self._matcher.limits = read_limits(self._node)
        self._matcher.add_masks(nanoseconds(message.header.stamp), message)

    def _settle(self) -> None:
        for stream in (self.images, self.detections, self.masks):
            stream.fit()
        self._open_masks_if_wanted()
        self._matcher.limits = read_limits(self._node)
        self._matcher.settle(time.monotonic())
        self._tell()
        self._losses.on_the_way()

    def _open_masks_if_wanted(self) -> None:
        wanted = parameters.read(self._node, "masks.enabled", bool)
        if wanted and not self.masks.is_open:
            self.masks.open()
        elif not wanted:
            self.masks.close()

    def _on_match(self, image: AnyImage, detections: Detection2DArray, masks: Image | None) -> None:
        frame = Frame(image, detections, self._activation, masks)
        self._counters.replaced += self._mailbox.put(frame)

    def _on_unmatched(self, lost: Unmatched) -> None:
        tolerance = self._matcher.limits.tolerance_ns / 1e9
        self._counters.images_forgotten += lost.forgotten
        if lost.forgotten:
            line = (
                "detections came so late that their image was forgotten; raise "
                "matching.images_kept or matching.memory, or use a faster detector"
            )
        elif lost.gap is not None:
            line = (
                f"the image nearest to the detections is {lost.gap:.3f} s away, above "
                f"matching.tolerance {tolerance:.3f} s"
            )
        elif lost.stamp == 0:
            line = f"detections on {self.detections.topic} have no stamp, and no such image came"
        else:
            line = (
                f"detections came on {self.detections.topic}, "
                f"but no image with a stamp on {self.images.topic}"
            )
        self._warn("unmatched", f"{line}; {self._counters.unmatched} unmatched so far")

    def _tell(self) -> None:
        counters = self._counters
        if counters.clock_jumps > self._jumps_told:
            self._jumps_told = counters.clock_jumps
            self._warn("clock", "stamps jumped backward; what was buffered is forgotten")
        if counters.masks_missing > self._masks_missing_told:
            self._masks_missing_told = counters.masks_missing
            self._warn(
                "masks",
                f"no masks within matching.tolerance of the detections came on {self.masks.topic}; "
                f"boxes are captioned, {counters.masks_missing} frames so far. Set masks.enabled "
                "to false where there are none",
            )


def read_limits(node: Node) -> Limits:
    """The present values of the parameters."""
    return Limits(
        tolerance_ns=round(parameters.read(node, "matching.tolerance", float) * 1e9),
        kept=parameters.read(node, "matching.images_kept", int),
        bytes_kept=parameters.read(node, "matching.memory", int) * 1_000_000,
        wants_masks=parameters.read(node, "masks.enabled", bool),
    )


def _image_stream(node: Node, callback: Callable[[Any], None]) -> Stream:
    """Raw or compressed, on a topic named as image_transport names it."""
    if parameters.read(node, "image_transport", str) == "raw":
        return Stream(node, Image, "image", callback)
    # What follows a remapping of the image, unless the compressed topic has one of its own.
    name = "image/compressed"
    expanded = node.resolve_topic_name(name, only_expand=True)
    if node.resolve_topic_name(name) == expanded:
        name = f"{node.resolve_topic_name('image')}/compressed"
    return Stream(node, CompressedImage, name, callback)


def _size(image: AnyImage) -> int:
    return len(image.data)
