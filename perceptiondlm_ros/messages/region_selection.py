"""Which of a frame's detections are captioned, as what shapes, and why the others are not."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.boxes import (
    Fit,
    check_box,
    fit_image,
    has_size,
    is_rotated,
    rotated_mask,
)
from perceptiondlm_ros.messages.masks import instance_ids
from perceptiondlm_ros.pixel_boxes import NOTHING, Box, box_around

TINY_BOXES = (
    "smaller than two pixels, like every box of their message: if the detector sends coordinates "
    "from 0 to 1, set detections.image_width:=1 and detections.image_height:=1"
)
"""Why such detections are dropped: their captions would be of nothing, and sound sure."""

_TINY = 2.0  # pixels
_LEAST_SIDE = 16  # pixels of what a detector sees; with less, small boxes are no mistake


@dataclass(frozen=True)
class SelectedRegion:
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
    def shape(self) -> Box | NDArray[np.bool_]:
        """As a captioner takes it."""
        return self.box if self.mask is None else self.mask


@dataclass(frozen=True)
class Selection:
    """The regions of an image, and what became of its other detections.

    dropped: detections that can't be captioned, by the reason in words.
    unwanted: detections that are not to be captioned, by the setting in words.
    masks_problem: why the masks were not used although there were some; empty if they were.
    """

    kept: list[SelectedRegion] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    unwanted: Counter[str] = field(default_factory=Counter)
    masks_problem: str = ""


@dataclass(frozen=True)
class RegionSettings:
    """What is wanted of detections: the parameters `max_regions` and `detections`.

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

    def fit_of(self, width: int, height: int) -> Fit:
        """How an image of this size was fitted into what the detector sees."""
        return fit_image(self.fit, self.seen_width, self.seen_height, width, height)

    def why_unwanted(self, label: str, score: float) -> str:
        """The setting that leaves a detection out, in words; empty if none does."""
        if self.min_score > 0 and not score >= self.min_score:
            return f"with a score below {self.min_score:g}"
        if self.classes and label not in self.classes:
            return "of classes that are not in detections.classes"
        if label in self.excluded_classes:
            return "of classes in detections.excluded_classes"
        return ""


def select_regions(
    detections: Sequence[Any],
    width: int,
    height: int,
    settings: RegionSettings,
    masks: Any | None = None,
) -> Selection:
    """At most `settings.most` regions of a width x height image, in the order of the detections.

    Where there are more, those with the best scores are kept. A detection with pixels in `masks`
    is captioned by these; any other one by its box, but not where every box is smaller than two
    pixels. Masks that can't be read are left out.

    Args:
        masks: an instance-id Image.
    """
    fit = settings.fit_of(width, height)
    found = Selection()
    ids: NDArray[Any] | None = None
    if masks is not None:
        try:
            ids = instance_ids(masks, width, height, fit)
        except InputError as error:
            found = Selection(masks_problem=str(error))
    present: frozenset[int] | None = None
    tiny = _all_tiny(detections, fit)
    for index, detection in enumerate(detections):
        label, score = _best_hypothesis(detection)
        if setting := settings.why_unwanted(label, score):
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
        found.kept.append(SelectedRegion(index, box, bbox, detection, label, score))
    best = sorted(found.kept, key=lambda region: -_rank(region.score))
    return _limited(found, best, ids, settings.most, width, height)


def select_masks(
    masks: Any, width: int, height: int, settings: RegionSettings, empty: Any
) -> Selection:
    """The regions of an instance-id image alone: each value, less one, is the region's index.

    Args:
        empty: the Detection2D of all of them, with nothing in it.

    Raises:
        InputError: masks that can't be read.
    """
    ids = instance_ids(masks, width, height, settings.fit_of(width, height))
    regions = [
        SelectedRegion(value - 1, NOTHING, empty.bbox, empty, "", 0.0)
        for value in sorted(_values(ids))
    ]
    return _limited(Selection(), regions, ids, settings.most, width, height)


def _limited(
    found: Selection,
    best: list[SelectedRegion],
    ids: NDArray[Any] | None,
    most: int,
    width: int,
    height: int,
) -> Selection:
    """With the shapes of the first ones, the best, in the order of their indices."""
    if len(best) > most:
        found.dropped[f"above the limit of {most} regions"] = len(best) - most
    kept = sorted(best[:most], key=lambda region: region.index)
    return replace(found, kept=[_shaped(region, ids, width, height) for region in kept])


def _all_tiny(detections: Sequence[Any], fit: Fit) -> bool:
    """Whether no box that has a size is as large as a few pixels of what the detector sees."""
    sides = [max(d.bbox.size_x, d.bbox.size_y) for d in detections if has_size(d.bbox)]
    return bool(sides) and max(sides) < _TINY and min(fit.size) >= _LEAST_SIDE


def _shaped(
    region: SelectedRegion, ids: NDArray[Any] | None, width: int, height: int
) -> SelectedRegion:
    """The region with its mask and a box around it, where it has one."""
    for mask in _masks(region, ids, width, height):
        box = box_around(mask)
        if box != NOTHING:
            bbox = _bbox(box, region.bbox) if region.box == NOTHING else region.bbox
            return replace(region, mask=mask, box=box, bbox=bbox)
    return region


def _masks(
    region: SelectedRegion, ids: NDArray[Any] | None, width: int, height: int
) -> Iterator[NDArray[np.bool_]]:
    """What may be the region's mask, the best one first; each may be empty."""
    if ids is not None:
        yield ids == region.index + 1
    if is_rotated(region.bbox):
        yield rotated_mask(region.bbox, width, height)


def _values(ids: NDArray[Any]) -> frozenset[int]:
    """All ids that some pixel has, without the background."""
    return frozenset(value for value in np.unique(ids).tolist() if value > 0)


def _bbox(box: Box, like: Any) -> Any:
    """A bounding box of the kind of another one."""
    x0, y0, x1, y1 = box
    bbox = copy.deepcopy(like)
    bbox.size_x, bbox.size_y = x1 - x0, y1 - y0
    bbox.center.position.x, bbox.center.position.y = (x0 + x1) / 2, (y0 + y1) / 2
    bbox.center.theta = 0.0
    return bbox


def _best_hypothesis(detection: Any) -> tuple[str, float]:
    """Class id and score of the best hypothesis, as they came; ("", 0) where none is."""
    if not detection.results:
        return "", 0.0
    best = max((result.hypothesis for result in detection.results), key=lambda h: _rank(h.score))
    return best.class_id, best.score


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
