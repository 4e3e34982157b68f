"""One frame from messages to messages: what the worker thread does for each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.drawing import Annotation, annotate
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.conversions import (
    Regions,
    box_in_image,
    description,
    detections_to_regions,
    image_to_rgb,
    nanoseconds,
    rgb_to_image,
)
from perceptiondlm_ros.ros.throttle import Throttle

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box, Caption


class Describes(Protocol):
    """What the node needs of a Captioner."""

    @property
    def name(self) -> str: ...

    def describe(
        self, image: NDArray[np.uint8], regions: Sequence[Box], prompt: str | None = None
    ) -> list[Caption]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Frame:
    """An image and the detections that were matched to it, in this activation of the node."""

    image: Image
    detections: Detection2DArray
    activation: int = 1


@dataclass(frozen=True)
class Captioned:
    """The message for a frame, its latency still open, and the image as uint8 [H, W, 3] RGB.

    error: why the frame as a whole has no captions; empty where it has.
    """

    message: RegionDescriptionArray
    pixels: NDArray[np.uint8] | None
    error: str = ""


def caption_frame(
    captioner: Describes, frame: Frame, prompt: str, max_regions: int, warn: Throttle
) -> Captioned:
    """Caption what can be captioned; the rest is counted in the message and told to `warn`."""
    detections = frame.detections.detections
    message = RegionDescriptionArray(
        header=frame.image.header, dropped=len(detections), model=captioner.name
    )
    try:
        pixels = image_to_rgb(frame.image)
    except InputError as error:
        warn("image", str(error))
        return Captioned(message, None, str(error))
    height, width = pixels.shape[:2]
    regions = detections_to_regions(detections, width, height, max_regions)
    _warn_of_dropped(regions, len(detections), warn)
    try:
        boxes = [region.box for region in regions.kept]
        captions = captioner.describe(pixels, boxes, prompt or None) if boxes else []
    except Exception as error:  # noqa: BLE001  (a backend may raise anything)
        line = f"captioning failed: {type(error).__name__}: {error}"
        warn("inference", line)
        return Captioned(message, pixels, line)
    message.regions = [
        description(region, caption, frame.image.header)
        for region, caption in zip(regions.kept, captions, strict=True)
    ]
    message.dropped = len(detections) - len(captions)
    return Captioned(message, pixels)


def annotated_image(pixels: NDArray[np.uint8], message: RegionDescriptionArray) -> Image:
    """The image with the captions drawn on it, under the same header."""
    height, width = pixels.shape[:2]
    annotations = [
        Annotation(
            box_in_image(region.bbox, width, height),
            region.caption,
            region.id,
            region.label,
            region.confidence,
        )
        for region in message.regions
    ]
    return rgb_to_image(annotate(pixels, annotations), message.header)


def latency(stamp: Time, now_ns: int) -> Duration:
    """From the stamp to now; zero for an unset stamp, which is no point in time."""
    elapsed = now_ns - nanoseconds(stamp) if nanoseconds(stamp) else 0
    sec, nanosec = divmod(elapsed, 1_000_000_000)
    limit = 2**31 - 1  # a stamp may be anything, the field is an int32
    return Duration(sec=min(max(sec, -limit), limit), nanosec=nanosec)


def _warn_of_dropped(regions: Regions, total: int, warn: Throttle) -> None:
    if regions.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in regions.dropped.items())
        warn("regions", f"{regions.dropped.total()} of {total} detections dropped: {reasons}")
