"""What is known of a frame when it is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.settings import Settings

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box


@dataclass(frozen=True)
class Uncaptioned:
    """A region that is known but has no caption yet, or none any more.

    track, mask: as in Result. box: x0, y0, x1, y1, its part inside the image, in pixels.
    """

    track: str
    id: str
    label: str
    index: int
    box: Box
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Result:
    """A frame as it is published; one frame may be published again, with more captions.

    message: its descriptions, complete but for the latency, which is set when it goes out.
    pixels: the image as uint8 [H, W, 3] RGB, to be read only; None where it can't be read.
    tracks: for each of message.regions a name that stays with the object: the detection's id where
        it has one, else that of a track by overlap, else empty.
    masks: for each of message.regions its mask, bool [H, W], or None where it is a box.
    waiting: the other regions of the frame, for who draws it.
    activation: that of the frame.
    sequence: number of the frame in the order of arrival, from 1.
    error: why the frame as a whole has no captions; empty where it has.
    settings: those that hold for the frame.
    """

    message: RegionDescriptionArray
    pixels: NDArray[np.uint8] | None
    tracks: tuple[str, ...] = ()
    masks: tuple[NDArray[np.bool_] | None, ...] = ()
    waiting: tuple[Uncaptioned, ...] = ()
    activation: int = 1
    sequence: int = 1
    error: str = ""
    settings: Settings = field(default_factory=Settings)
