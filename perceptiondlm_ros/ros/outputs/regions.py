"""What outputs for people know of one region, taken from a result in one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.annotate import age_text
from perceptiondlm_ros.drawing.colours import Colour, track_colour
from perceptiondlm_ros.messages.boxes import box_in_image
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs.results import Result
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box


@dataclass(frozen=True)
class ShownRegion:
    """One region of a frame.

    track: a name that stays with the object; empty where there is none.
    index: of its detection in its array.
    box: its part inside the image, in pixels. mask: bool [H, W] of the image.
    caption, confidence: what the model says; empty and None while it has not been asked yet.
    age: seconds from the image that the caption was made from to this one; None: it is this one.
    """

    track: str
    id: str
    label: str
    index: int
    box: Box
    mask: NDArray[np.bool_] | None
    caption: str = ""
    confidence: float | None = None
    age: float | None = None
    draft: bool = False

    @property
    def colour(self) -> Colour:
        """That of the annotated picture, in every output."""
        return track_colour(self.track or self.id, self.label, self.index)

    @property
    def captioned(self) -> bool:
        return self.confidence is not None

    def heading(self, separator: str) -> str:
        """Who it is, how sure the model was, and how old or provisional the caption is."""
        percent = "" if self.confidence is None else f"{100 * self.confidence:.0f} %"
        state = "DRAFT" if self.draft else "" if self.age is None else age_text(self.age)
        parts = (one_line(self.id), one_line(self.label), percent, state)
        return separator.join(part for part in parts if part)


def shown_regions(result: Result, width: int, height: int) -> Iterator[ShownRegion]:
    """The regions of a result on an image of this size, those without a caption last."""
    stamp = nanoseconds(result.message.header.stamp)
    for index, region in enumerate(result.message.regions):
        age = None
        if region.source == RegionDescription.REUSED:
            age = max(stamp - nanoseconds(region.caption_stamp), 0) / 1e9
        yield ShownRegion(
            track=result.tracks[index] if index < len(result.tracks) else region.id,
            id=region.id,
            label=region.label,
            index=region.index,
            box=box_in_image(region.bbox, width, height),
            mask=result.masks[index] if index < len(result.masks) else None,
            caption=region.caption,
            confidence=region.confidence,
            age=age,
            draft=region.source == RegionDescription.DRAFT,
        )
    for item in result.waiting:
        yield ShownRegion(item.track, item.id, item.label, item.index, item.box, item.mask)
