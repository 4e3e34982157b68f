"""Which of a frame's detections are captioned, as what shapes, and why the others are not."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.boxes import (
    NOTHING,
    Fit,
    check_box,
    fit_image,
    has_size,
    is_rotated,
    rotated_mask,
)
from perceptiondlm_ros.messages.masks import instance_ids, tight_box

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box
    from perceptiondlm_ros.captioner import RegionShape as Shape


TINY_BOXES = (
    "smaller than two pixels, like every box of their message: if the detector sends coordinates "
    "from 0 to 1, set detections.image_width:=1 and detections.image_height:=1"
)
"""Why such detections are dropped: their captions would be of nothing, and sound sure."""

_TINY = 2.0  # pixels
_LEAST_SIDE = 16  # pixels of what a detector sees; with less, small boxes are no mistake


@dataclass(frozen=True)
class Region:
    """One detection that can be captioned.

    index: its place in the detection array.
    box: what surrounds it inside the image, in pixels.
    bbox: the detection's box on the image: as it came, unless the detector sees another size.
    label, score: of its best hypothesis, as they came.
    mask: bool [H, W]; None where the region is all of its box.
    """

    index: int
    box: Box
    bbox: Any
    detection: Any
    label: str
    score: float
    mask: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> Shape:
        """As a captioner takes it."""
        return self.box if self.mask is None else self.mask


@dataclass(frozen=True)
class Regions:
    """The regions of an image.

    dropped: detections that can't be captioned, by the reason in words.
    unwanted: detections that are not to be captioned, by the setting in words.
    masks_problem: why the masks were not used although there were some; empty if they were.
    """

    kept: list[Region] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unwanted: Counter[str] = field(default_factory=Counter)
    masks_problem: str = ""


@dataclass(frozen=True)
class RegionSettings:
    """See the parameters `max_regions` and `detections`.

    most: regions of an image. min_score: 0 takes all.
    classes: those wanted, none: all. excluded_classes: those not wanted.
    fit, seen_width, seen_height: see `fit_image`.
    """

    most: int = 24
    min_score: float = 0.0
    classes: frozenset[str] = frozenset()
    excluded_classes: frozenset[str] = frozenset()
    fit: str = "stretch"
    seen_width: int = 0
    seen_height: int = 0


def frame_regions(frame: Any, width: int, height: int, settings: RegionSettings) -> Regions:
    """The regions of a frame, whose image is width x height pixels.

    frame: has `detections`, a Detection2DArray, and `masks`, an instance-id Image or None.
    """
    return detections_to_regions(
        frame.detections.detections, width, height, settings, masks=frame.masks
    )


def detections_to_regions(
    detections: Sequence[Any],
    width: int,
    height: int,
    settings: RegionSettings,
    masks: Any | None = None,
) -> Regions:
    """At most `settings.most` regions of a width x height image, in the order of the detections.

    Where there are more, those with the best scores are kept. A detection with pixels in `masks` is
    captioned by these; any other one by its box, but not where every box is smaller than two
    pixels. Masks that can't be read are left out.
    """
    fit = fit_image(settings.fit, settings.seen_width, settings.seen_height, width, height)
    found = Regions()
    ids: NDArray[Any] | None = None
    if masks is not None:
        try:
            ids = instance_ids(masks, width, height, fit)
        except InputError as error:
            found = Regions(masks_problem=str(error))
    present: frozenset[int] | None = None
    tiny = _all_tiny(detections, fit)
    for index, detection in enumerate(detections):
        label, score = _best_hypothesis(detection)
        setting = _unwanted(label, score, settings)
        if setting:
            found.unwanted[setting] += 1
            continue
        bbox = fit.to_image(detection.bbox)
        reason, box = check_box(bbox, width, height)
        if tiny and not reason:
            reason, box = TINY_BOXES, NOTHING
        if reason and ids is not None and present is None:
            present = _values(ids)
        if reason and index + 1 not in (present or ()):
            found.dropped[reason] += 1
            continue
        found.kept.append(Region(index, box, bbox, detection, label, score))
    _limit(found, settings.most)
    found.kept[:] = [_shaped(region, ids, width, height) for region in found.kept]
    return found


def mask_regions(
    masks: Any, width: int, height: int, settings: RegionSettings, empty: Any
) -> Regions:
    """The regions of an instance-id image alone: each value, less one, is the region's index.

    Args:
        empty: the Detection2D of all of them, with nothing in it.

    Raises:
        InputError: masks that can't be read.
    """
    fit = fit_image(settings.fit, settings.seen_width, settings.seen_height, width, height)
    ids = instance_ids(masks, width, height, fit)
    indices = sorted(value - 1 for value in _values(ids))
    found = Regions()
    for index in indices[: settings.most]:
        region = Region(index, NOTHING, empty.bbox, empty, "", 0.0)
        found.kept.append(_shaped(region, ids, width, height))
    if len(indices) > settings.most:
        found.dropped[_beyond(settings.most)] = len(indices) - settings.most
    return found


def _all_tiny(detections: Sequence[Any], fit: Fit) -> bool:
    """Whether no box that has a size is as large as a few pixels of what the detector sees."""
    sides = [max(d.bbox.size_x, d.bbox.size_y) for d in detections if has_size(d.bbox)]
    return bool(sides) and max(sides) < _TINY and min(fit.size) >= _LEAST_SIDE


def _unwanted(label: str, score: float, settings: RegionSettings) -> str:
    """The setting that leaves a detection out, in words; empty if none does."""
    if settings.min_score > 0 and not score >= settings.min_score:
        return f"with a score below {settings.min_score:g}"
    if settings.classes and label not in settings.classes:
        return "of classes that are not in detections.classes"
    if label in settings.excluded_classes:
        return "of classes in detections.excluded_classes"
    return ""


def _limit(found: Regions, most: int) -> None:
    if len(found.kept) > most:
        found.dropped[_beyond(most)] = len(found.kept) - most
        best = sorted(found.kept, key=lambda region: -_rank(region.score))[:most]
        found.kept[:] = sorted(best, key=lambda region: region.index)


def _beyond(most: int) -> str:
    return f"above the limit of {most} regions"


def _shaped(region: Region, ids: NDArray[Any] | None, width: int, height: int) -> Region:
    """The region with its mask and a box around it, where it has one."""
    if ids is not None:
        mask = ids == region.index + 1
        box = tight_box(mask)
        if box is not None:
            bbox = _around(box, region.bbox) if region.box == NOTHING else region.bbox
            return replace(region, mask=mask, box=box, bbox=bbox)
    if is_rotated(region.bbox):
        mask = rotated_mask(region.bbox, width, height)
        box = tight_box(mask)
        if box is not None:
            return replace(region, mask=mask, box=box)
    return region


def _values(ids: NDArray[Any]) -> frozenset[int]:
    """All ids that some pixel has, without the background."""
    return frozenset(value for value in np.unique(ids).tolist() if value > 0)


def _around(box: Box, like: Any) -> Any:
    """A bounding box of the kind of another one."""
    x0, y0, x1, y1 = box
    around = copy.deepcopy(like)
    around.size_x, around.size_y = x1 - x0, y1 - y0
    around.center.position.x, around.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
    around.center.theta = 0.0
    return around


def _best_hypothesis(detection: Any) -> tuple[str, float]:
    """Class id and score of the best hypothesis, as they came; ("", 0) where none is."""
    if not detection.results:
        return "", 0.0
    best = max((result.hypothesis for result in detection.results), key=lambda h: _rank(h.score))
    return best.class_id, best.score


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
