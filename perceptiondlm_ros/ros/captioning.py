"""What the worker thread does: frames become descriptions.

Made anew at each `configure`, so that a pass that outlives its model's cleanup shares nothing with
the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.conversions import (
    Regions,
    description,
    detections_to_regions,
    image_to_rgb,
)
from perceptiondlm_ros.ros.counters import Counters
from perceptiondlm_ros.ros.frames import Describes, Frame, Result
from perceptiondlm_ros.ros.mailbox import Mailbox
from perceptiondlm_ros.ros.outputs import Outputs
from perceptiondlm_ros.ros.status import Status
from perceptiondlm_ros.ros.throttle import Throttle
from perceptiondlm_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.node import Node


@dataclass(frozen=True)
class Monitor:
    """Where everything that happens is told: counts, the node's state, and the log."""

    counters: Counters
    status: Status
    warn: Throttle
    lock: Lock  # held while counting: a worker that did not end in time counts beside the next


class Captioning:
    """Captions the frames that are put into `mailbox`, and publishes them, until stopped."""

    def __init__(
        self, node: Node, captioner: Describes, outputs: Outputs, monitor: Monitor
    ) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox()
        self._node = node
        self._captioner = captioner
        self._outputs = outputs
        self._monitor = monitor
        self._numbers = count(1)
        self._worker = Worker(self.mailbox, self._caption, self._report, captioner.close)

    def stop(self, timeout: float) -> bool:
        """End the worker, which frees the model when its last pass is over; see `Worker.stop`."""
        return self._worker.stop(timeout)

    def _caption(self, frame: Frame) -> None:
        prompt = parameters.read(self._node, "prompt", str)
        most = parameters.read(self._node, "max_regions", int)
        number = next(self._numbers)
        result = caption_frame(self._captioner, frame, prompt, most, self._monitor, number)
        counters = self._monitor.counters
        published = self._outputs.publish(result)
        with self._monitor.lock:
            if not published:
                counters.frames_discarded += 1
                return
            counters.frames_failed += bool(result.error)
            counters.frames_captioned += not result.error
            counters.regions_captioned += len(result.message.regions)
            counters.regions_dropped += result.message.dropped
            counters.last_error = result.error or counters.last_error

    def _report(self, error: Exception) -> None:
        line = f"{type(error).__name__}: {error}"
        self._monitor.counters.last_error = line
        self._monitor.status.failed(line)
        self._monitor.warn("worker", f"worker failed: {line}")


def caption_frame(
    captioner: Describes, frame: Frame, prompt: str, most: int, monitor: Monitor, number: int = 1
) -> Result:
    """Caption what can be captioned; the rest is counted in the message and told."""
    detections = frame.detections.detections
    message = RegionDescriptionArray(
        header=frame.image.header, dropped=len(detections), model=captioner.name
    )
    bare = Result(message, None, activation=frame.activation, sequence=number)
    try:
        pixels = image_to_rgb(frame.image)
    except InputError as error:
        monitor.warn("image", str(error))
        return Result(**bare.__dict__ | {"error": str(error)})
    height, width = pixels.shape[:2]
    regions = detections_to_regions(detections, width, height, most)
    warn_of_dropped(regions, len(detections), monitor.warn)
    try:
        boxes = [region.box for region in regions.kept]
        with monitor.status.passing():
            captions = captioner.describe(pixels, boxes, prompt or None) if boxes else []
    except Exception as error:  # noqa: BLE001  (a backend may raise anything)
        line = f"captioning failed: {type(error).__name__}: {error}"
        monitor.warn("inference", line)
        return Result(**bare.__dict__ | {"pixels": pixels, "error": line})
    message.regions = [
        description(region, caption, frame.image.header)
        for region, caption in zip(regions.kept, captions, strict=True)
    ]
    message.dropped = len(detections) - len(captions)
    tracks = tuple(region.detection.id for region in regions.kept)
    return Result(**bare.__dict__ | {"pixels": pixels, "tracks": tracks})


def warn_of_dropped(regions: Regions, total: int, warn: Throttle) -> None:
    if regions.dropped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in regions.dropped.items())
        warn("regions", f"{regions.dropped.total()} of {total} detections dropped: {reasons}")
