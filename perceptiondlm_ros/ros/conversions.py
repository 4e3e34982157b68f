"""ROS messages to and from what the captioner takes and gives. Raises InputError, logs nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2D

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.images import image_to_rgb as image_to_rgb
from perceptiondlm_ros.ros.images import rgb_to_image as rgb_to_image
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box, Caption

_FLOAT32_MAX = float(np.finfo(np.float32).max)  # a detector's score is a float64


@dataclass(frozen=True)
class Region:
    """One detection that can be captioned."""

    index: int  # in the detection array
    box: Box  # clipped to the image
    detection: Detection2D
    label: str
    score: float


@dataclass(frozen=True)
class Regions:
    """The detections of an image that can be captioned, and why the others can't."""

    kept: list[Region]
    dropped: Counter[str]  # reason → detections


def box_corners(box: BoundingBox2D) -> Box:
    """Corners of the box; of a rotated one, of the smallest upright box that holds it."""
    cosine, sine = abs(math.cos(box.center.theta)), abs(math.sin(box.center.theta))
    half_width = (box.size_x * cosine + box.size_y * sine) / 2
    half_height = (box.size_x * sine + box.size_y * cosine) / 2
    x, y = box.center.position.x, box.center.position.y
    return x - half_width, y - half_height, x + half_width, y + half_height


def box_in_image(box: BoundingBox2D, width: int, height: int) -> Box:
    """The part of a box of finite numbers inside the image; x0 >= x1 or y0 >= y1: there is none."""
    x0, y0, x1, y1 = box_corners(box)
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def detections_to_regions(
    detections: Sequence[Detection2D], width: int, height: int, most: int
) -> Regions:
    """At most `most` regions of a width x height image, in the order of the detections.

    Where there are more, those with the best scores are kept.
    """
    kept: list[Region] = []
    dropped: Counter[str] = Counter()
    for index, detection in enumerate(detections):
        reason, box = _check_box(detection.bbox, width, height)
        if reason:
            dropped[reason] += 1
            continue
        label, score = _best_hypothesis(detection)
        kept.append(Region(index, box, detection, label, score))
    if len(kept) > most:
        dropped[f"above the limit of {most} regions"] = len(kept) - most
        kept = sorted(kept, key=lambda region: -_rank(region.score))[:most]
        kept.sort(key=lambda region: region.index)
    return Regions(kept, dropped)


def description(region: Region, caption: Caption, header: Header) -> RegionDescription:
    """The message for a region captioned on the image with this header."""
    return RegionDescription(
        id=region.detection.id,
        index=region.index,
        bbox=region.detection.bbox,
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


def _check_box(box: BoundingBox2D, width: int, height: int) -> tuple[str, Box]:
    """Why the box can't be captioned (empty: it can), and its part inside the image."""
    centre = box.center.position
    given = (centre.x, centre.y, box.center.theta, box.size_x, box.size_y)
    nothing = (0.0, 0.0, 0.0, 0.0)
    if not all(map(math.isfinite, given)):
        return "with NaN or infinite numbers", nothing
    if box.size_x <= 0 or box.size_y <= 0:
        return "of no or negative size", nothing
    x0, y0, x1, y1 = box_in_image(box, width, height)
    if x0 >= x1 or y0 >= y1:
        return f"outside the {width}x{height} image", nothing
    return "", (x0, y0, x1, y1)


def _best_hypothesis(detection: Detection2D) -> tuple[str, float]:
    """Class id and score of the best hypothesis, as they came; ("", 0) where none is."""
    if not detection.results:
        return "", 0.0
    best = max((result.hypothesis for result in detection.results), key=lambda h: _rank(h.score))
    return best.class_id, best.score


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
