"""Captions as messages. Logs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros import regions
from perceptiondlm_ros.ros.boxes import box_corners as box_corners
from perceptiondlm_ros.ros.boxes import box_in_image as box_in_image
from perceptiondlm_ros.ros.images import image_to_rgb as image_to_rgb
from perceptiondlm_ros.ros.images import rgb_to_image as rgb_to_image
from perceptiondlm_ros.ros.regions import Region as Region
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption

_FLOAT32_MAX = float(np.finfo(np.float32).max)  # a detector's score is a float64


def detections_to_regions(
    detections: Sequence[Detection2D], width: int, height: int, most: int
) -> regions.Regions:
    """`regions.detections_to_regions` with default settings."""
    return regions.detections_to_regions(
        detections, width, height, regions.RegionSettings(most=most)
    )


def description(region: Region, caption: Caption, header: Header) -> RegionDescription:
    """The message for a region captioned on the image with this header."""
    return RegionDescription(
        id=region.detection.id,
        index=region.index,
        bbox=region.bbox,
        label=region.label,
        score=min(max(region.score, -_FLOAT32_MAX), _FLOAT32_MAX),
        caption=one_line(caption.text),
        confidence=float(caption.confidence),
        truncated=bool(caption.truncated),
        source=RegionDescription.FRESH,
        caption_stamp=header.stamp,
    )


def nanoseconds(stamp: Time) -> int:
    """A stamp in ns since the epoch."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
