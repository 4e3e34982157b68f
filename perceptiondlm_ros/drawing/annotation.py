"""What is shown of one region: on pictures, in markers and in overlays of viewers."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.colours import Colour, track_colour
from perceptiondlm_ros.pixel_boxes import Box
from perceptiondlm_ros.text import one_line


@dataclass(frozen=True)
class Annotation:
    """A region with its caption.

    box: x0, y0, x1, y1 in pixels; parts outside the image are cut off.
    id, label: stand above the caption.
    track: a name that stays with the object, which with `label` decides the colour; the id where
        it is empty, and `index` where that is empty, too.
    index: of the region in its array.
    confidence: in [0, 1], shown in percent; None shows nothing.
    age: seconds since the caption was made, shown; None for a caption of this very image.
    draft: marks a caption that a better one will follow.
    mask: boolean [H, W], drawn tinted and with its contour instead of the box.
    labelled: False only outlines the region.
    """

    box: Box
    caption: str
    id: str = ""
    label: str = ""
    confidence: float | None = None
    track: str = ""
    index: int = 0
    age: float | None = None
    draft: bool = False
    mask: NDArray[np.bool_] | None = None
    labelled: bool = True

    @property
    def colour(self) -> Colour:
        """The same in every output."""
        return track_colour(self.track or self.id, self.label, self.index)

    @property
    def badge(self) -> str:
        """How provisional or old the caption is; empty for a new one."""
        if self.draft:
            return "DRAFT"
        return "" if self.age is None else age_text(self.age)

    def heading(self, separator: str, *more: str) -> str:
        """Which object it is and how sure the model was, followed by `more`."""
        percent = "" if self.confidence is None else f"{100 * self.confidence:.0f} %"
        parts = (one_line(self.id), one_line(self.label), percent, *more)
        return separator.join(part for part in parts if part)


def object_keys(annotations: Sequence[Annotation]) -> list[tuple[str, str, int]]:
    """What tells the objects apart, the same from picture to picture.

    That is the track with its class; one that comes again is another object, and counted.
    """
    counts: Counter[tuple[str, str]] = Counter()
    keys = []
    for item in annotations:
        name = (item.track or item.id or str(item.index), item.label)
        counts[name] += 1
        keys.append((*name, counts[name]))
    return keys


def age_text(seconds: float) -> str:
    """An age in the unit that a glance can take in."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s ago"
    return f"{seconds:.0f} s ago" if seconds < 119.5 else f"{seconds / 60:.0f} min ago"


def lines_of(heading: str, caption: str, columns: int, most: int) -> list[str]:
    """The heading, then the caption in at most `most` lines of about `columns` characters."""
    wrapped = textwrap.wrap(one_line(caption), columns, max_lines=most, placeholder=" ...")
    return [line for line in (heading, *wrapped) if line]
