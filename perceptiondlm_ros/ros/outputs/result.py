"""What is known of a frame when it is published."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.messages.region_selection import SelectedRegion
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
