"""What outputs for people show of each region, and how they wrap its caption."""

from __future__ import annotations

import textwrap
from typing import Any

from perceptiondlm_ros.drawing.annotation import Annotation
from perceptiondlm_ros.messages.boxes import box_in_image
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs.result import Result, ResultRegion
from perceptiondlm_ros.text import one_line


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


def lines_of(heading: str, caption: str, columns: int, most: int) -> list[str]:
    """The heading, then the caption in at most `most` lines of about `columns` characters."""
    wrapped = textwrap.wrap(one_line(caption), columns, max_lines=most, placeholder=" ...")
    return [line for line in (heading, *wrapped) if line]
