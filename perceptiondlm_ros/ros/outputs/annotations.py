"""What outputs for people show of each region, and how they wrap its caption."""

from __future__ import annotations

import textwrap

from perceptiondlm_ros.drawing.annotation import Annotation
from perceptiondlm_ros.messages.boxes import box_in_image
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs.result import Result
from perceptiondlm_ros.text import one_line


def annotations_of(result: Result, width: int, height: int) -> list[Annotation]:
    """The regions of a result on an image of this size, those without a caption last."""
    stamp = nanoseconds(result.message.header.stamp)
    shown = []
    for index, region in enumerate(result.message.regions):
        age = None
        if region.source == RegionDescription.REUSED:
            age = max(stamp - nanoseconds(region.caption_stamp), 0) / 1e9
        shown.append(
            Annotation(
                box=box_in_image(region.bbox, width, height),
                caption=region.caption,
                id=region.id,
                label=region.label,
                confidence=region.confidence,
                track=result.tracks[index] if index < len(result.tracks) else region.id,
                index=region.index,
                age=age,
                draft=region.source == RegionDescription.DRAFT,
                mask=result.masks[index] if index < len(result.masks) else None,
            )
        )
    return shown + [
        Annotation(
            item.box,
            "",
            item.id,
            item.label,
            track=item.track,
            index=item.index,
            mask=item.mask,
            labelled=False,
        )
        for item in result.waiting
    ]


def lines_of(heading: str, caption: str, columns: int, most: int) -> list[str]:
    """The heading, then the caption in at most `most` lines of about `columns` characters."""
    wrapped = textwrap.wrap(one_line(caption), columns, max_lines=most, placeholder=" ...")
    return [line for line in (heading, *wrapped) if line]
