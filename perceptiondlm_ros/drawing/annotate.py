"""Pictures for people: regions and captions drawn over an image, one stable colour a track.

A caption stands in a label beside its region. Where there is no free place beside it, the label
moves to the nearest free place and a leader line ties the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.drawing.annotation import Annotation, object_keys
from perceptiondlm_ros.drawing.canvas import Canvas, tint
from perceptiondlm_ros.drawing.colours import Colour
from perceptiondlm_ros.drawing.label_placement import BESIDE, Rects, gap, leader_lines
from perceptiondlm_ros.drawing.layout import Label, LastLayout, lay_out, most_labels
from perceptiondlm_ros.errors import InputError

_GREY: Final[Colour] = (200, 204, 212)

Masks = Sequence[NDArray[np.bool_] | None]


def annotate(
    image: NDArray[np.uint8], annotations: Sequence[Annotation], last: LastLayout | None = None
) -> NDArray[np.uint8]:
    """A copy of `image` (uint8 [H, W, 3] RGB) with the annotations drawn on it.

    last: for the pictures of a stream, on which labels then stay where they are at their objects.
    Where there is no room for all labels the first ones stand, and the rest is counted.
    Raises InputError for an image of another kind, a box that is not finite, or a mask of another
    size.
    """
    _check(image, annotations)
    pixels = image.copy()
    if not annotations:
        return pixels
    boxes = _inside(annotations, *image.shape[:2])
    # Where a mask is empty, the box is all there is to show.
    masks = [m if m is not None and m.any() else None for m in (a.mask for a in annotations)]
    for item, mask in zip(annotations, masks, strict=True):
        if mask is not None:
            tint(pixels, mask, item.colour)
    canvas = Canvas(pixels)
    for item, box, mask in zip(annotations, boxes, masks, strict=True):
        if mask is None:
            canvas.box(box, item.colour)
        else:
            canvas.contour(mask, item.colour)
    _draw_labels(canvas, annotations, boxes, masks, image.shape[:2], last)
    return canvas.pixels()


def _draw_labels(
    canvas: Canvas,
    annotations: Sequence[Annotation],
    boxes: Rects,
    masks: Masks,
    shape: tuple[int, ...],
    last: LastLayout | None,
) -> None:
    height, width = shape
    wanted = [number for number, item in enumerate(annotations) if item.labelled]
    chosen = wanted[: most_labels(height)]
    if not chosen:
        return
    shown = [annotations[number] for number in chosen]
    labels = [
        Label(item.heading(" · "), item.badge, item.caption, key)
        for item, key in zip(shown, object_keys(shown), strict=True)
    ]
    objects, colours = boxes[chosen], [item.colour for item in shown]
    if len(chosen) < len(wanted):  # told in a corner of the picture
        labels.append(Label(f"and {len(wanted) - len(chosen)} more", "", ""))
        objects = np.concatenate([objects, [[0.0, height - 1.0, 0.0, height - 1.0]]])
        colours.append(_GREY)
    others = np.delete(boxes, chosen, axis=0)
    found, places = lay_out(labels, objects, width, height, last, others)
    for number, place, colour in zip(chosen, places, colours, strict=False):
        target = _target(place, boxes[number], masks[number])
        if place[2] > place[0] and gap(place[None], target)[0] > BESIDE * canvas.thin:
            canvas.leader_line(leader_lines(place[None], target)[0], colour)
    drafts = [*(item.draft for item in shown), False]
    for label, place, colour, draft in zip(found, places, colours, drafts, strict=False):
        canvas.label(label, (round(float(place[0])), round(float(place[1]))), colour, draft)


def _target(
    place: NDArray[np.float64], box: NDArray[np.float64], mask: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """Where a leader line from the label leads to: the box, or the nearest point of the mask."""
    if mask is None:
        return box
    step = max(1, mask.shape[0] // 240)  # as near as two pixels of such a picture
    points = np.argwhere(mask[::step, ::step])[:, ::-1] * float(step)
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
        mask = item.mask
        if mask is not None and (mask.dtype != np.bool_ or mask.shape != image.shape[:2]):
            raise InputError(
                f"annotations[{index}].mask: got {mask.dtype} {list(mask.shape)}, "
                f"expected bool {list(image.shape[:2])}, the image's size"
            )


def _inside(annotations: Sequence[Annotation], height: int, width: int) -> Rects:
    """The boxes, [K, 4], their corners in order and inside the image."""
    corners = np.array([item.box for item in annotations], np.float64).reshape(-1, 2, 2)
    inside = np.sort(corners, axis=1).clip(0.0, (width - 1.0, height - 1.0))
    return inside.reshape(-1, 4)
