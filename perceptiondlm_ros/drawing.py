"""Pictures for people: boxes and captions drawn over an image, one stable colour an id.

A caption stands on a plate beside its box. Where there is no free place beside it, the plate moves
to the nearest free place and a leader line ties the two together. Text uses Pillow's built-in
scalable font, so no font has to be installed; it holds Latin letters only.
"""

from __future__ import annotations

import colorsys
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from perceptiondlm_ros.drawing_layout import MAX_TEXT, Plate, gap, lay_out, line_height
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box

Colour = tuple[int, int, int]

_PLATE_FILL = (14, 17, 23, 205)
_TEXT_FILL = (245, 246, 248, 255)
_GOLDEN_RATIO = 0.618034  # successive multiples spread evenly round the colour circle
_SMOOTH = 4  # supersampling of plates and leader lines, which Pillow draws with hard edges


@dataclass(frozen=True)
class Annotation:
    """What is drawn for one region.

    box: x0, y0, x1, y1 in pixels; parts outside the image are cut off.
    id: decides the colour (the label does where it is empty). Shown with `label` above the text.
    confidence: in [0, 1], shown in percent; None shows nothing.
    """

    box: Box
    text: str
    id: str = ""
    label: str = ""
    confidence: float | None = None


def annotate(image: NDArray[np.uint8], annotations: Sequence[Annotation]) -> NDArray[np.uint8]:
    """Return a copy of `image` with the annotations drawn on it.

    image: uint8 [H, W, 3] RGB. Returns the same shape and dtype; `image` is left as it is.
    Raises InputError for an image of another kind or a box that is not finite.
    """
    _check(image, annotations)
    height, width = image.shape[:2]
    canvas = Image.fromarray(np.ascontiguousarray(image)).convert("RGBA")
    if not annotations:
        return np.array(canvas.convert("RGB"))
    boxes = np.array([_clip(item.box, width, height) for item in annotations], dtype=np.float64)
    texts = [(_heading(item), item.text) for item in annotations]
    plates, places = lay_out(texts, boxes, width, height)
    unit = max(1, height // 480)
    colours = [colour_of(item.id or item.label) for item in annotations]
    for box, colour in zip(boxes, colours, strict=True):
        _draw_box(canvas, box, colour, unit)
    for box, place, colour in zip(boxes, places, colours, strict=True):
        _draw_leader(canvas, box, place, colour, unit)
    for plate, place, colour in zip(plates, places, colours, strict=True):
        _draw_plate(canvas, plate, place, colour, unit)
    return np.array(canvas.convert("RGB"))


def colour_of(identity: str) -> Colour:
    """The RGB colour of an id: always the same, and far apart for ids that differ in a number."""
    match = re.search(r"(\d{1,9})\D*$", identity)
    number = int(match.group(1)) if match else 0
    stem = identity[: match.start()] if match else identity
    hue = (zlib.crc32(stem.encode("utf-8", "replace")) / 2**32 + number * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.64, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _heading(item: Annotation) -> str:
    percent = "" if item.confidence is None else f"{100 * item.confidence:.0f} %"
    parts = (one_line(part[:MAX_TEXT]) for part in (item.id, item.label, percent))
    return " · ".join(part for part in parts if part)


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


def _clip(box: Box, width: int, height: int) -> Box:
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    right, bottom = width - 1.0, height - 1.0
    return (
        min(max(x0, 0.0), right),
        min(max(y0, 0.0), bottom),
        min(max(x1, 0.0), right),
        min(max(y1, 0.0), bottom),
    )


def _draw_box(canvas: Image.Image, box: NDArray[np.float64], colour: Colour, unit: int) -> None:
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    layer = ImageDraw.Draw(canvas, "RGBA")
    halo = (x0 - unit, y0 - unit, x1 + unit, y1 + unit)
    layer.rectangle(halo, outline=(0, 0, 0, 110), width=3 * unit)
    layer.rectangle((x0, y0, x1, y1), outline=(*colour, 255), width=unit + 1)


def _draw_leader(
    canvas: Image.Image, box: NDArray[np.float64], place: Box, colour: Colour, unit: int
) -> None:
    """A line from the plate to the box, unless they stand side by side."""
    if gap(np.array([place]), box)[0] <= 5 or place[2] <= place[0]:
        return
    starts, ends = [], []
    for axis in (0, 1):
        low, high = max(place[axis], box[axis]), min(place[axis + 2], box[axis + 2])
        middle = (low + high) / 2
        between = low <= high
        starts.append(middle if between else min(max(box[axis], place[axis]), place[axis + 2]))
        ends.append(middle if between else min(max(place[axis], box[axis]), box[axis + 2]))
    left, top = (int(min(s, e)) - 3 * unit for s, e in zip(starts, ends, strict=True))
    right, bottom = (int(max(s, e)) + 4 * unit for s, e in zip(starts, ends, strict=True))
    size = (right - left, bottom - top)
    smooth = _SMOOTH if size[0] * size[1] < 500_000 else 1
    scaled = [((x - left) * smooth, (y - top) * smooth) for x, y in (starts, ends)]
    for line_width, fill in ((unit + 3, (0, 0, 0, 130)), (unit + 1, (*colour, 255))):
        mask = Image.new("L", (size[0] * smooth, size[1] * smooth))
        ImageDraw.Draw(mask).line(scaled, fill=fill[3], width=line_width * smooth)
        canvas.paste(Image.new("RGBA", size, fill[:3]), (left, top), mask.resize(size))


def _draw_plate(canvas: Image.Image, plate: Plate, place: Box, colour: Colour, unit: int) -> None:
    if not plate.width:
        return
    x0, y0 = round(place[0]), round(place[1])
    size = (plate.width, plate.height)
    large = (size[0] * _SMOOTH, size[1] * _SMOOTH)
    sheet = Image.new("RGBA", large)
    pen = ImageDraw.Draw(sheet)
    radius = plate.padding * _SMOOTH
    pen.rounded_rectangle((0, 0, large[0] - 1, large[1] - 1), radius, fill=_PLATE_FILL)
    bar = (radius * 2 // 3, radius, radius * 2 // 3 + 2 * unit * _SMOOTH, large[1] - radius)
    pen.rounded_rectangle(bar, unit * _SMOOTH, fill=(*colour, 255))
    canvas.alpha_composite(sheet.resize(size, Image.Resampling.BOX), (x0, y0))
    text = ImageDraw.Draw(canvas)
    left, step = x0 + 2 * plate.padding, line_height(plate.font)
    top = y0 + plate.padding + 0.35 * (step - plate.font.size)
    if plate.heading:
        text.text((left, top), plate.heading, font=plate.font, fill=colour)
    for row, line in enumerate(plate.lines, start=1 if plate.heading else 0):
        text.text((left, top + row * step), line, font=plate.font, fill=_TEXT_FILL)
