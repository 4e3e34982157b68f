"""Pictures for people: boxes and captions drawn over an image, one stable colour an id.

A caption stands on a plate beside its box. Where there is no free place beside it, the plate moves
to the nearest free place and a leader line ties the two together. Text uses Pillow's built-in
scalable font, so no font has to be installed; it holds Latin letters only.
"""

import colorsys
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from perceptiondlm_ros.errors import InputError

Colour = tuple[int, int, int]
Rect = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

_PLATE_FILL = (14, 17, 23, 205)
_TEXT_FILL = (245, 246, 248, 255)
_MAX_LINES = 4
_MAX_TEXT = 400  # characters that are looked at: four lines never hold more
_GOLDEN_RATIO = 0.618034  # successive multiples spread evenly round the colour circle
_SMOOTH = 4  # supersampling of plates and leader lines, which Pillow draws with hard edges
_MOST_SEARCHED = 60  # above this many plates no picture has room, so only the near places are tried


@dataclass(frozen=True)
class Annotation:
    """What is drawn for one region.

    box: x0, y0, x1, y1 in pixels; parts outside the image are cut off.
    id: decides the colour (the label does where it is empty). Shown with `label` above the text.
    confidence: in [0, 1], shown in percent; None shows nothing.
    """

    box: Rect
    text: str
    id: str = ""
    label: str = ""
    confidence: float | None = None


@dataclass(frozen=True)
class _Plate:
    """A caption laid out in lines: everything about it but its place."""

    heading: str
    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont
    padding: int
    width: int
    height: int


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
    plates, places = _lay_out(annotations, boxes, width, height)
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


def _clip(box: Rect, width: int, height: int) -> Rect:
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    right, bottom = width - 1.0, height - 1.0
    return (
        min(max(x0, 0.0), right),
        min(max(y0, 0.0), bottom),
        min(max(x1, 0.0), right),
        min(max(y1, 0.0), bottom),
    )


# ---- layout: how large a plate is, and where it goes ----


def _lay_out(
    annotations: Sequence[Annotation], boxes: NDArray[np.float64], width: int, height: int
) -> tuple[list[_Plate], list[Rect]]:
    """Plates and their places; smaller text is tried before plates are let overlap."""
    size = min(max(height / 36, 13.0), 40.0)
    for scale in (1.0, 0.88, 0.76):
        font = ImageFont.load_default(max(size * scale, 11.0))
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise InputError("Pillow was built without FreeType; install the Pillow wheel")
        plates = [
            _fit(item, font, 0.27 * width, box[2] - box[0])
            for item, box in zip(annotations, boxes, strict=True)
        ]
        places, crowded = _place(plates, boxes, width, height)
        if not crowded:
            break
    return plates, places


def _fit(item: Annotation, font: ImageFont.FreeTypeFont, column: float, box_width: float) -> _Plate:
    column = max(column, min(box_width, 1.6 * column))
    percent = "" if item.confidence is None else f"{100 * item.confidence:.0f} %"
    parts = [" ".join(_printable(part).split()) for part in (item.id, item.label, percent)]
    heading = _wrap(" · ".join(part for part in parts if part), font, column, 1)
    lines = _wrap(_printable(item.text), font, column, _MAX_LINES)
    padding = round(0.45 * font.size)
    text_width = max((font.getlength(line) for line in heading + lines), default=0.0)
    count = len(heading) + len(lines)
    return _Plate(
        heading=heading[0] if heading else "",
        lines=tuple(lines),
        font=font,
        padding=padding,
        width=round(text_width) + 3 * padding if count else 0,
        height=round(count * _line_height(font)) + 2 * padding if count else 0,
    )


def _line_height(font: ImageFont.FreeTypeFont) -> float:
    return 1.22 * font.size


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT])


def _wrap(text: str, font: ImageFont.FreeTypeFont, column: float, most: int) -> list[str]:
    """Lines of at most `column` pixels; a word that is too long is cut, a lost rest shown by …"""
    lines: list[str] = []
    line = ""
    words = text.split()
    while words:
        word = words.pop(0)
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= column:
            line = longer
            continue
        if not line:
            cut = max(1, sum(font.getlength(word[: n + 1]) <= column for n in range(len(word))))
            line, word = word[:cut], word[cut:]
        if word:
            words.insert(0, word)
        if words and len(lines) == most - 1:
            while line and font.getlength(line + "…") > column:
                line = line[:-1]
            return [*lines, line.rstrip() + "…"]
        lines.append(line)
        line = ""
    return [*lines, line] if line else lines


def _place(
    plates: Sequence[_Plate], boxes: NDArray[np.float64], width: int, height: int
) -> tuple[list[Rect], bool]:
    """A place for each plate, most crowded box first, and whether any two plates overlap."""
    places: list[Rect] = [(0.0, 0.0, 0.0, 0.0)] * len(plates)
    taken = np.zeros((0, 4))
    crowded = False
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.abs(centres[:, None] - centres[None]).sum(axis=-1)
    for index in np.argsort(distances.sum(axis=1), kind="stable"):
        plate, box = plates[index], boxes[index]
        spots = _near(plate, box, width)
        if len(plates) <= _MOST_SEARCHED:
            spots = np.concatenate([spots, _grid(plate, width, height)])
        spots[:, 0] = spots[:, 0].clip(0, max(width - plate.width, 0))
        spots[:, 1] = spots[:, 1].clip(0, max(height - plate.height, 0))
        rects = np.concatenate([spots, spots + (plate.width, plate.height)], axis=1)
        covered = _overlap(rects, taken)
        others = np.delete(boxes, index, axis=0)
        own = _overlap(rects, box[None])
        cost = 100 * covered + 1.5 * _overlap(rects, others) + 0.6 * own
        cost = cost / max(plate.width * plate.height, 1) + _gap(rects, box) / height
        best = int(np.argmin(cost + 1e-4 * np.minimum(np.arange(len(cost)), 9)))
        crowded = crowded or bool(covered[best] > 0)
        taken = np.concatenate([taken, rects[best : best + 1]])
        x0, y0, x1, y1 = (float(v) for v in rects[best])
        places[index] = (x0, y0, x1, y1)
    return places, crowded


def _near(plate: _Plate, box: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Upper left corners beside the box, the most natural first: above, below, right, left, in."""
    x0, y0, x1, y1 = (float(v) for v in box)
    w, h, space = plate.width, plate.height, 3
    above, below = y0 - h - space, y1 + space
    corners = [(x0, above), (x1 - w, above), (x0, below), (x1 - w, below)]
    corners += [(x1 + space, y0), (x0 - w - space, y0)]
    corners += [(x1 + space, y1 - h), (x0 - w - space, y1 - h)]
    corners += [(x0 + space, y0 + space), (x0 + space, y1 - h - space)]
    return np.array(corners, dtype=np.float64)


def _grid(plate: _Plate, width: int, height: int) -> NDArray[np.float64]:
    xs = np.linspace(0, max(width - plate.width, 0), 33)
    ys = np.linspace(0, max(height - plate.height, 0), 33)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _overlap(rects: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in pixels that each of `rects` [K, 4] shares with `others` [J, 4], summed: [K]."""
    low = np.maximum(rects[:, None, :2], others[None, :, :2])
    high = np.minimum(rects[:, None, 2:], others[None, :, 2:])
    shared: NDArray[np.float64] = (high - low).clip(min=0).prod(axis=-1).sum(axis=1)
    return shared


def _gap(rects: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in pixels between each of `rects` [K, 4] and the box: [K]."""
    sides = np.maximum(box[:2] - rects[:, 2:], rects[:, :2] - box[2:]).clip(min=0)
    gap: NDArray[np.float64] = np.hypot(sides[:, 0], sides[:, 1])
    return gap


# ---- drawing ----


def _draw_box(canvas: Image.Image, box: NDArray[np.float64], colour: Colour, unit: int) -> None:
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    layer = ImageDraw.Draw(canvas, "RGBA")
    halo = (x0 - unit, y0 - unit, x1 + unit, y1 + unit)
    layer.rectangle(halo, outline=(0, 0, 0, 110), width=3 * unit)
    layer.rectangle((x0, y0, x1, y1), outline=(*colour, 255), width=unit + 1)


def _draw_leader(
    canvas: Image.Image, box: NDArray[np.float64], place: Rect, colour: Colour, unit: int
) -> None:
    """A line from the plate to the box, unless they stand side by side."""
    if _gap(np.array([place]), box)[0] <= 5 or place[2] <= place[0]:
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


def _draw_plate(canvas: Image.Image, plate: _Plate, place: Rect, colour: Colour, unit: int) -> None:
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
    left, step = x0 + 2 * plate.padding, _line_height(plate.font)
    top = y0 + plate.padding + 0.35 * (step - plate.font.size)
    if plate.heading:
        text.text((left, top), plate.heading, font=plate.font, fill=colour)
    for row, line in enumerate(plate.lines, start=1 if plate.heading else 0):
        text.text((left, top + row * step), line, font=plate.font, fill=_TEXT_FILL)
