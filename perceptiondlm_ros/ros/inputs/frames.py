"""The topics that the node takes: images, detections and masks, matched and handed on as frames.

Runs in the executor's thread; each callback only looks up stamps and moves references.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.messages.matching import Matcher, Outcome
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.faults import clock_set_back, no_image, no_masks
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.ros.threads import Mailbox

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
        on_image, on_detections, on_masks = (
            partial(self._on_message, stream) for stream in ("images", "detections", "masks")
        )
        self.images = _image_subscription(node, settings().image_transport, on_image)
        self.detections = AdaptiveSubscription(node, Detection2DArray, "detections", on_detections)
        self.masks = AdaptiveSubscription(node, Image, "masks", on_masks)
        self._matcher = Matcher(size_of=lambda image: len(image.data))
        # Waiting is measured in real time: simulated time may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD, self._on_timer, clock=steady)
        self._timer.cancel()

    def open(self, mailbox: Mailbox[Frame], activation: int) -> None:
        """Subscribe. rclpy's subscriptions know no lifecycle, so there are none while inactive."""
        self._mailbox, self._activation = mailbox, activation
        self._subscribe()
        self._timer.reset()

    def close(self) -> None:
        """Unsubscribe and forget what was not captioned yet, counted as withdrawn."""
        self._timer.cancel()
        for topic in (self.images, self.detections, self.masks):
            topic.close()
        withdrawn = self._matcher.clear() + (self._mailbox.put(None) is not None)
        self._monitor.count(withdrawn=withdrawn)

    def _on_message(self, stream: str, message: Any) -> None:
        self._monitor.count(**{stream: 1})
        stamp, limits = nanoseconds(message.header.stamp), self._settings().match_limits
        self._follow(self._matcher.add(stream, stamp, message, limits, time.monotonic()))

    def _on_timer(self) -> None:
        self._subscribe()
        self._follow(self._matcher.expire(self._settings().match_limits, time.monotonic()))
        self._monitor.tell_losses()

    def _subscribe(self) -> None:
        self.images.take()
        self.detections.take()
        self.masks.take(self._settings().masks.enabled)

    def _follow(self, outcome: Outcome) -> None:
        """Hand on what was matched; count and tell everything else."""
        self._monitor.count(
            unset_stamps=outcome.unset,
            backward_stamps=outcome.backward,
            withdrawn=outcome.withdrawn,
        )
        if outcome.clock_jump:
            self._monitor.report(clock_set_back())
        for match in outcome.matches:
            if match.masks is None and self._settings().masks.enabled:
                so_far = self._monitor.counters.masks_missing + 1
                self._monitor.report(no_masks(self.masks.topic, so_far))
            frame = Frame(match.image, match.detections, self._activation, match.masks)
            self._monitor.count(
                matched_exact=match.exact,
                matched_nearest=not match.exact,
                replaced=self._mailbox.put(frame) is not None,
            )
        for lost in outcome.unmatched:
            topics = self.images.topic, self.detections.topic
            tolerance = self._settings().matching.tolerance
            so_far = self._monitor.counters.unmatched + 1
            self._monitor.report(no_image(*topics, lost, tolerance, so_far))


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
