"""What outputs for people know of one region, taken from a result in one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.annotate import age_text
from perceptiondlm_ros.drawing.colours import Colour, track_colour
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.conversions import box_in_image, nanoseconds
from perceptiondlm_ros.ros.frames import Result
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box


@dataclass(frozen=True)
class ShownRegion:
    """One captioned region.

    track: a name that stays with the object; empty where there is none.
    box: its part inside the image, in pixels. mask: bool [H, W] of the image.
    age: seconds from the image that the caption was made from to this one; None: it is this one.
    """

    description: RegionDescription
    track: str
    box: Box
    mask: NDArray[np.bool_] | None
    age: float | None
    draft: bool

    @property
    def colour(self) -> Colour:
        """That of the annotated picture, in every output."""
        return track_colour(self.track, self.description.label, self.description.index)

    def heading(self, separator: str) -> str:
        """Who it is, how sure the model was, and how old or provisional the caption is."""
        percent = f"{100 * self.description.confidence:.0f} %"
        state = "DRAFT" if self.draft else "" if self.age is None else age_text(self.age)
        parts = (one_line(self.description.id), one_line(self.description.label), percent, state)
        return separator.join(part for part in parts if part)


def shown_regions(result: Result, width: int, height: int) -> Iterator[ShownRegion]:
    """The regions of a result on an image of this size."""
    stamp = nanoseconds(result.message.header.stamp)
    for index, description in enumerate(result.message.regions):
        age = None
        if description.source == RegionDescription.REUSED:
            age = max(stamp - nanoseconds(description.caption_stamp), 0) / 1e9
        yield ShownRegion(
            description=description,
            track=result.tracks[index] if index < len(result.tracks) else description.id,
            box=box_in_image(description.bbox, width, height),
            mask=result.masks[index] if index < len(result.masks) else None,
            age=age,
            draft=description.source == RegionDescription.DRAFT,
        )
