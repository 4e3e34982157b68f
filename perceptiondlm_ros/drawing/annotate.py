"""Pictures for people: regions and captions drawn over an image, one stable colour a track.

A caption stands on a plate beside its region. Where there is no free place beside it, the plate
moves to the nearest free place and a leader line ties the two together. Text uses Pillow's built-in
scalable font, so no font has to be installed; it holds Latin letters only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from perceptiondlm_ros.drawing.colours import Colour, track_colour
from perceptiondlm_ros.drawing.geometry import Rects, gap, leader
from perceptiondlm_ros.drawing.layout import MAX_TEXT, Label, Memory, lay_out, most_labels
from perceptiondlm_ros.drawing.pens import (
    draw_box,
    draw_contour,
    draw_leader,
    draw_plate,
    tint_mask,
)
from perceptiondlm_ros.drawing.placement import BESIDE
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.pixel_boxes import Box, clipped
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box

_GREY: Final[Colour] = (200, 204, 212)


@dataclass(frozen=True)
class Annotation:
    """What is drawn for one region.

    box: x0, y0, x1, y1 in pixels; parts outside the image are cut off.
    id, label: stand above the text.
    track: a name that stays with the object, which with `label` decides the colour; the id where
        it is empty, and `index` where that is empty, too.
    confidence: in [0, 1], shown in percent; None shows nothing.
    index: of the region in its array; None is its place among the annotations.
    age: seconds since the caption was made, shown; None for a caption of this very image.
    draft: marks a caption that a better one will follow.
    mask: boolean [H, W], drawn tinted and with its contour instead of the box.
    labelled: False only outlines the region.
    """

    box: Box
    text: str
    id: str = ""
    label: str = ""
    confidence: float | None = None
    track: str = ""
    index: int | None = None
    age: float | None = None
    draft: bool = False
    mask: NDArray[np.bool_] | None = None
    labelled: bool = True


def annotate(
    image: NDArray[np.uint8], annotations: Sequence[Annotation], memory: Memory | None = None
) -> NDArray[np.uint8]:
    """Return a copy of `image` with the annotations drawn on it.

    image: uint8 [H, W, 3] RGB. Returns the same shape and dtype; `image` is left as it is.
    memory: for the pictures of a stream, on which plates then stay where they are at their objects.
    Raises InputError for an image of another kind, a box that is not finite, or a mask of another
    size. Where there is no room for all labels the first ones stand, and the rest is counted.
    """
    _check(image, annotations)
    if not annotations:
        return image.copy()
    height, width = image.shape[:2]
    boxes = np.array([_clip(item.box, width, height) for item in annotations], dtype=np.float64)
    colours = [
        track_colour(item.track or item.id, item.label, _index(item, number))
        for number, item in enumerate(annotations)
    ]
    unit = max(1, round(height / 600))
    canvas = _draw_regions(image, annotations, boxes, colours, unit)
    wanted = [number for number, item in enumerate(annotations) if item.labelled]
    chosen = wanted[: most_labels(height)]
    if not chosen:
        return np.array(canvas)
    labelled = [annotations[number] for number in chosen]
    labels = [Label(_heading(item), _badge(item), item.text) for item in labelled]
    others = np.delete(boxes, chosen, axis=0)
    keys, boxes, colours = _keys(labelled), boxes[chosen], [colours[number] for number in chosen]
    if len(chosen) < len(wanted):  # told in a corner of the picture
        labels.append(Label(f"and {len(wanted) - len(chosen)} more", "", ""))
        keys.append("")
        boxes = np.concatenate([boxes, [[0.0, height - 1.0, 0.0, height - 1.0]]])
        colours.append(_GREY)
    plates, places = lay_out(labels, boxes, width, height, memory, keys, others)
    for item, box, place, colour in zip(labelled, boxes, places, colours, strict=False):
        target = _target(place, box, _mask(item))
        if place[2] > place[0] and gap(place[None], target)[0] > BESIDE * unit:
            draw_leader(canvas, leader(place[None], target)[0], colour, unit)
    drafts = [*(item.draft for item in labelled), False]
    for plate, place, colour, draft in zip(plates, places, colours, drafts, strict=False):
        corner = (round(float(place[0])), round(float(place[1])))
        draw_plate(canvas, plate, corner, colour, unit, draft)
    return np.array(canvas)


def _draw_regions(
    image: NDArray[np.uint8],
    annotations: Sequence[Annotation],
    boxes: Rects,
    colours: Sequence[Colour],
    unit: int,
) -> Image.Image:
    """A picture of the image with masks and boxes on it."""
    pixels = image.copy()
    masks = [_mask(item) for item in annotations]
    for mask, colour in zip(masks, colours, strict=True):
        if mask is not None:
            tint_mask(pixels, mask, colour)
    canvas = Image.fromarray(pixels)
    for box, mask, colour in zip(boxes, masks, colours, strict=True):
        if mask is None:
            draw_box(canvas, box, colour, unit)
        else:
            draw_contour(canvas, mask, colour, unit)
    return canvas


def age_text(seconds: float) -> str:
    """An age in the unit that a glance can take in."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s ago"
    return f"{seconds:.0f} s ago" if seconds < 119.5 else f"{seconds / 60:.0f} min ago"


def _keys(annotations: Sequence[Annotation]) -> list[str]:
    """What each object is known by on the next picture; a name that comes again is counted."""
    counts: Counter[tuple[str, str]] = Counter()
    keys = []
    for number, item in enumerate(annotations):
        name = (item.track or item.id or str(_index(item, number)), item.label)
        counts[name] += 1
        keys.append(f"{name[0]}\n{name[1]}\n{counts[name]}")
    return keys


def _index(item: Annotation, number: int) -> int:
    return number if item.index is None else item.index


def _heading(item: Annotation) -> str:
    percent = "" if item.confidence is None else f"{100 * item.confidence:.0f} %"
    parts = (one_line(part[:MAX_TEXT]) for part in (item.id, item.label, percent))
    return " · ".join(part for part in parts if part)


def _badge(item: Annotation) -> str:
    if item.draft:
        return "DRAFT"
    return "" if item.age is None else age_text(item.age)


def _mask(item: Annotation) -> NDArray[np.bool_] | None:
    """The mask, unless it is empty: then the box is all there is to show."""
    return item.mask if item.mask is not None and item.mask.any() else None


def _target(
    place: NDArray[np.float64], box: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Where a leader line from the plate leads to: the box, or the nearest point of the mask."""
    if mask is None:
        return box
    step = max(1, mask.shape[0] // 240)  # as near as two pixels of such a picture
    rows, columns = np.nonzero(mask[::step, ::step])
    points = np.stack([columns, rows], axis=1) * float(step)
    if not len(points):
        return box
    away = np.maximum(place[:2] - points, points - place[2:]).clip(min=0)
    nearest = points[int((away**2).sum(axis=1).argmin())]
    return np.concatenate([nearest, nearest])


def _check(image: NDArray[np.uint8], annotations: Sequence[Annotation]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(
            f"image: got {image.dtype} {list(image.shape)}, expected uint8 [H, W, 3] RGB; "
            "convert it first"
        )
    for index, item in enumerate(annotations):
        if not np.isfinite(item.box).all():
            raise InputError(
                f"annotations[{index}].box: got {item.box}, expected four finite numbers "
                "x0, y0, x1, y1 in pixels"
            )
        if item.mask is not None and (
            item.mask.dtype != np.bool_ or item.mask.shape != image.shape[:2]
        ):
            raise InputError(
                f"annotations[{index}].mask: got {item.mask.dtype} {list(item.mask.shape)}, "
                f"expected bool {list(image.shape[:2])}, the image's size"
            )


def _clip(box: Box, width: int, height: int) -> Box:
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    return clipped((x0, y0, x1, y1), width - 1, height - 1)
