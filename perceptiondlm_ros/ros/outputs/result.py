"""What is known of a frame when it is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.annotation import Annotation
from perceptiondlm_ros.messages.boxes import box_in_image
from perceptiondlm_ros.messages.region_selection import SelectedRegion
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.settings import Settings


@dataclass(frozen=True)
class ResultRegion:
    """A region of a frame, with or without a caption.

    track: a name that stays with the object: the detection's id where it has one, else that of a
        track by overlap, else empty.
    description: what the message says of it; None where it has no caption yet, or none any more.
    """

    track: str
    region: SelectedRegion
    description: RegionDescription | None = None


@dataclass(frozen=True)
class Result:
    """A frame as it is published; one frame may be published again, with more captions.

    message: its descriptions, complete but for the latency, which is set when it goes out.
    pixels: the image as uint8 [H, W, 3] RGB, to be read only; None where it can't be read.
    regions: all of its regions; those with a description are in the message, in this order.
    activation: that of the frame.
    sequence: number of the frame in the order of arrival, from 1.
    error: why the frame as a whole has no captions; empty where it has.
    settings: those that hold for the frame.
    """

    message: RegionDescriptionArray
    pixels: NDArray[np.uint8] | None
    regions: tuple[ResultRegion, ...] = ()
    activation: int = 1
    sequence: int = 1
    error: str = ""
    settings: Settings = field(default_factory=Settings)


def annotations_of(result: Result, width: int, height: int) -> list[Annotation]:
    """The regions of a result on an image of this size, those without a caption last."""
    stamp = nanoseconds(result.message.header.stamp)
    shown = [_annotation(item, stamp, width, height) for item in result.regions]
    return sorted(shown, key=lambda item: not item.labelled)


def _annotation(item: ResultRegion, stamp: int, width: int, height: int) -> Annotation:
    region, said = item.region, item.description
    common: dict[str, Any] = {
        "id": region.detection.id,
        "label": region.label,
        "track": item.track,
        "index": region.index,
        "mask": region.mask,
    }
    if said is None:
        return Annotation(region.box, "", labelled=False, **common)
    age = max(stamp - nanoseconds(said.caption_stamp), 0) / 1e9
    return Annotation(
        box_in_image(said.bbox, width, height),
        said.caption,
        confidence=said.confidence,
        age=age if said.source == RegionDescription.REUSED else None,
        draft=said.source == RegionDescription.DRAFT,
        **common,
    )
