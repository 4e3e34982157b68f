"""Draws outlines, tinted masks, leader lines and plates. Sizes and places are settled already.

`unit` is the width of a thin line in pixels. Pillow draws hard edges, so slanted and round shapes
are drawn larger, as masks, and made smaller.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from perceptiondlm_ros.drawing.colours import Colour
from perceptiondlm_ros.drawing.layout import Plate, badge_space, blank, line_height, text_width
from perceptiondlm_ros.pixel_boxes import box_around

_PLATE: Final[Colour] = (14, 17, 23)
_PLATE_OPACITY: Final = 205
_TEXT: Final[Colour] = (245, 246, 248)
_TEXT_OF_DRAFT: Final[Colour] = (190, 194, 202)
_BADGE: Final[Colour] = (58, 63, 73)
_BADGE_OF_DRAFT: Final[Colour] = (255, 190, 60)
_TINT: Final = 0.14  # little: captions speak of colours
_SHADE: Final = 130  # opacity of the dark rim that sets lines off a bright picture
_SMOOTH: Final = 4
_LARGE: Final = 500_000  # pixels: a line this long looks smooth by itself


def tint_mask(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour) -> None:
    """Mix the colour into the region's pixels, in place. pixels: uint8 [H, W, 3]."""
    crop = _extent(mask)
    inside = mask[crop]
    part = pixels[crop]
    mixed = (1 - _TINT) * part[inside] + _TINT * np.array(colour)
    part[inside] = mixed.astype(np.uint8)


def draw_contour(canvas: Image.Image, mask: NDArray[np.bool_], colour: Colour, unit: int) -> None:
    """A line along the region's edge, holes included."""
    rows, columns = _extent(mask, margin=2 * unit + 1)
    region = mask[rows, columns]
    inner = ~_grown(~region, 1)
    line = _grown(region, unit)
    corner = (columns.start, rows.start)
    for fill, ring, opacity in (
        ((0, 0, 0), _grown(line, unit) & ~inner, _SHADE),
        (colour, line & ~inner, 255),
    ):
        canvas.paste(fill, corner, Image.fromarray(ring.astype(np.uint8) * np.uint8(opacity)))


def draw_box(canvas: Image.Image, box: NDArray[np.float64], colour: Colour, unit: int) -> None:
    x0, y0, x1, y1 = (round(float(v)) for v in box)
    pen = ImageDraw.Draw(canvas, "RGBA")
    halo = (x0 - unit, y0 - unit, x1 + unit, y1 + unit)
    pen.rectangle(halo, outline=(0, 0, 0, _SHADE), width=3 * unit)
    pen.rectangle((x0, y0, x1, y1), outline=(*colour, 255), width=unit + 1)


def draw_leader(canvas: Image.Image, line: NDArray[np.float64], colour: Colour, unit: int) -> None:
    """From the plate, x and y, to a dot on the object, x and y."""
    radius = unit + 1.5
    margin = int(radius) + 3 * unit
    left, top = (int(min(line[axis], line[axis + 2])) - margin for axis in (0, 1))
    right, bottom = (int(max(line[axis], line[axis + 2])) + margin + 1 for axis in (0, 1))
    size = (right - left, bottom - top)
    smooth = _SMOOTH if size[0] * size[1] < _LARGE else 1
    start, end = (
        ((float(line[n]) - left) * smooth, (float(line[n + 1]) - top) * smooth) for n in (0, 2)
    )
    for rim, fill, opacity in ((2, (0, 0, 0), _SHADE), (0, colour, 255)):
        shape = Image.new("L", (size[0] * smooth, size[1] * smooth))
        pen = ImageDraw.Draw(shape)
        pen.line([start, end], fill=opacity, width=(unit + 1 + rim) * smooth)
        reach = (radius + rim / 2) * smooth
        pen.ellipse((end[0] - reach, end[1] - reach, end[0] + reach, end[1] + reach), fill=opacity)
        canvas.paste(fill, (left, top), shape.resize(size, Image.Resampling.BOX))


def draw_plate(
    canvas: Image.Image,
    plate: Plate,
    corner: tuple[int, int],
    colour: Colour,
    unit: int,
    draft: bool,
) -> None:
    """The plate with its upper left corner there; the caption of a draft is dimmed."""
    if not plate.width:
        return
    x0, y0 = corner
    padding, step = plate.padding, line_height(plate.font)
    whole = (x0, y0, x0 + plate.width, y0 + plate.height)
    _rounded(canvas, whole, padding, _PLATE, _PLATE_OPACITY)
    bar = x0 + 2 * padding // 3
    _rounded(
        canvas, (bar, y0 + padding, bar + 2 * unit, y0 + plate.height - padding), unit, colour, 255
    )
    pen = ImageDraw.Draw(canvas)
    left, top = x0 + 2 * padding, y0 + padding + round(0.3 * (step - plate.font.size))
    if plate.heading:
        _draw_words(pen, (left, top), plate.heading, plate.font, colour)
    if plate.badge:
        start = left + round(text_width(plate.heading, plate.font)) if plate.heading else left
        _draw_badge(canvas, plate, (start, top), draft)
    text = _TEXT_OF_DRAFT if draft else _TEXT
    for row, words in enumerate(plate.lines, start=1 if plate.heading or plate.badge else 0):
        _draw_words(pen, (left, top + row * step), words, plate.font, text)


def _draw_badge(canvas: Image.Image, plate: Plate, corner: tuple[int, int], draft: bool) -> None:
    """The badge on a pill that begins `corner` plus a gap and is as high as the text."""
    size = round(plate.font.size)
    end = badge_space(plate.font) // 3
    x0, y0 = corner[0] + (end if plate.heading else 0), corner[1]
    x1 = x0 + round(text_width(plate.badge, plate.font)) + 2 * end
    pill = (x0, y0, x1, y0 + line_height(plate.font) - 1)
    _rounded(canvas, pill, size // 2, _BADGE_OF_DRAFT if draft else _BADGE, 255)
    fill = _PLATE if draft else _TEXT
    _draw_words(ImageDraw.Draw(canvas), (x0 + end, y0), plate.badge, plate.font, fill)


def _draw_words(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont,
    fill: Colour,
) -> None:
    x = float(corner[0])
    for word in text.split(" "):
        pen.text((round(x), corner[1]), word, font=font, fill=fill)
        x += font.getlength(word) + blank(font)


def _rounded(
    canvas: Image.Image,
    box: tuple[int, int, int, int],
    radius: int,
    fill: Colour,
    opacity: int,
) -> None:
    """A filled rectangle with round corners, its right and lower edges exclusive."""
    size = (box[2] - box[0], box[3] - box[1])
    if min(size) <= 0:
        return
    shape = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH))
    edges = (0, 0, shape.width - 1, shape.height - 1)
    ImageDraw.Draw(shape).rounded_rectangle(edges, radius * _SMOOTH, fill=opacity)
    canvas.paste(fill, box[:2], shape.resize(size, Image.Resampling.BOX))


def _grown(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The region, larger by so many pixels to each side."""
    for _ in range(2):  # the rows, then the columns as rows
        grown = region.copy()
        for step in range(1, pixels + 1):
            grown[step:] |= region[:-step]
            grown[:-step] |= region[step:]
        region = grown.T
    return region


def _extent(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice]:
    """The rows and columns that hold the region, and `margin` more where there are any."""
    height, width = mask.shape
    x0, y0, x1, y1 = map(int, box_around(mask))
    return (
        slice(max(y0 - margin, 0), min(y1 + margin, height)),
        slice(max(x0 - margin, 0), min(x1 + margin, width)),
    )
