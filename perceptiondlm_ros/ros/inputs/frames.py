"""The topics that the node takes: images, detections and masks, matched and handed on as frames.

Runs in the executor's thread; each callback only looks up stamps and moves references.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.messages.matching import Matcher, Outcome, Unmatched
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.faults import ClockSetBack, NoImage, NoMasks
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.ros.threads import Mailbox

if TYPE_CHECKING:
    from rclpy.node import Node

_PERIOD = 0.2  # seconds between checks of waiting detections and of the publishers


@dataclass(frozen=True)
class Frame:
    """An image and the detections that were matched to it, in one activation of the node.

    masks: instance-id image of the same size: value i + 1 is the mask of detection i.
    activation: number of the activation that it was taken in, as `Inputs.open` was given it.
    """

    image: Image | CompressedImage
    detections: Detection2DArray
    activation: int = 1
    masks: Image | None = None


class Inputs:
    """Subscribes while open; puts what it matched into a mailbox, counts what it lost.

    settings: gives the present ones.
    """

    def __init__(self, node: Node, settings: Callable[[], Settings], monitor: Monitor) -> None:
        self._settings = settings
        self._monitor = monitor
        self._activation = 0
        self._mailbox: Mailbox[Frame] = Mailbox()
        self.images = _image_subscription(node, settings().image_transport, self._on_image)
        self.detections = AdaptiveSubscription(
            node, Detection2DArray, "detections", self._on_detections
        )
        self.masks = AdaptiveSubscription(node, Image, "masks", self._on_masks)
        self._matcher: Matcher[Image | CompressedImage, Detection2DArray, Image] = Matcher(
            size_of=lambda image: len(image.data)
        )
        # Waiting is measured in real time: simulated time may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD, self._on_timer, clock=steady)
        self._timer.cancel()

    def open(self, mailbox: Mailbox[Frame], activation: int) -> None:
        """Subscribe. rclpy's subscriptions know no lifecycle, so there are none while inactive."""
        self._mailbox, self._activation = mailbox, activation
        self.images.open()
        self.detections.open()
        self._open_masks_if_wanted()
        self._timer.reset()

    def close(self) -> None:
        """Unsubscribe and forget what was not captioned yet, counted as withdrawn."""
        self._timer.cancel()
        for topic in (self.images, self.detections, self.masks):
            topic.close()
        withdrawn = self._matcher.clear() + (self._mailbox.put(None) is not None)
        self._monitor.count(withdrawn=withdrawn)

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._monitor.count(images=1)
        stamp = nanoseconds(message.header.stamp)
        self._follow(self._matcher.add_image(stamp, message, self._settings().match_limits))

    def _on_masks(self, message: Image) -> None:
        self._monitor.count(masks=1)
        stamp = nanoseconds(message.header.stamp)
        self._follow(self._matcher.add_masks(stamp, message, self._settings().match_limits))

    def _on_detections(self, message: Detection2DArray) -> None:
        self._monitor.count(detections=1)
        stamp, limits = nanoseconds(message.header.stamp), self._settings().match_limits
        self._follow(self._matcher.add_detections(stamp, message, limits, time.monotonic()))

    def _on_timer(self) -> None:
        for topic in (self.images, self.detections, self.masks):
            topic.adapt()
        self._open_masks_if_wanted()
        self._follow(self._matcher.expire(self._settings().match_limits, time.monotonic()))
        self._monitor.tell_losses()

    def _open_masks_if_wanted(self) -> None:
        if not self._settings().masks.enabled:
            self.masks.close()
        elif not self.masks.is_open:
            self.masks.open()

    def _follow(self, outcome: Outcome[Image | CompressedImage, Detection2DArray, Image]) -> None:
        """Hand on what was matched; count and tell everything else."""
        self._monitor.count(
            unset_stamps=outcome.unset,
            backward_stamps=outcome.backward,
            withdrawn=outcome.withdrawn,
        )
        if outcome.clock_jump:
            self._monitor.report(ClockSetBack())
        for match in outcome.matches:
            if match.masks is None and self._settings().masks.enabled:
                so_far = self._monitor.counters.masks_missing + 1
                self._monitor.report(NoMasks(self.masks.topic, so_far))
            frame = Frame(match.image, match.detections, self._activation, match.masks)
            self._monitor.count(
                matched_exact=match.exact,
                matched_nearest=not match.exact,
                replaced=self._mailbox.put(frame) is not None,
            )
        for lost in outcome.unmatched:
            self._report_unmatched(lost)

    def _report_unmatched(self, lost: Unmatched) -> None:
        self._monitor.report(
            NoImage(
                self.images.topic,
                self.detections.topic,
                gap=lost.gap,
                forgotten=lost.forgotten,
                unset=lost.stamp == 0,
                tolerance=self._settings().matching.tolerance,
                so_far=self._monitor.counters.unmatched + 1,
            )
        )


def _image_subscription(
    node: Node, transport: str, callback: Callable[[Any], None]
) -> AdaptiveSubscription:
    """Raw or compressed, on a topic named as image_transport names it."""
    if transport == "raw":
        return AdaptiveSubscription(node, Image, "image", callback)
    # What follows a remapping of the image, unless the compressed topic has one of its own.
    name = "image/compressed"
    if node.resolve_topic_name(name) == node.resolve_topic_name(name, only_expand=True):
        name = f"{node.resolve_topic_name('image')}/compressed"
    return AdaptiveSubscription(node, CompressedImage, name, callback)
