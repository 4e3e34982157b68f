"""A picture to draw on: outlines, leader lines and labels. Sizes and places are settled already.

Pillow draws hard edges, so slanted and round shapes are drawn larger, as masks, and made smaller.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from perceptiondlm_ros.drawing.colours import Colour
from perceptiondlm_ros.drawing.font import Font
from perceptiondlm_ros.drawing.layout import LabelBox
from perceptiondlm_ros.pixel_boxes import box_around

_BACKGROUND: Final[Colour] = (14, 17, 23)
_OPACITY: Final = 205  # of the background
_TEXT: Final[Colour] = (245, 246, 248)
_TEXT_OF_DRAFT: Final[Colour] = (190, 194, 202)
_BADGE: Final[Colour] = (58, 63, 73)
_BADGE_OF_DRAFT: Final[Colour] = (255, 190, 60)
_BLACK: Final[Colour] = (0, 0, 0)
_TINT: Final = 0.14  # little: captions speak of colours
_SHADE: Final = 130  # opacity of the dark rim that sets lines off a bright picture
_SMOOTH: Final = 4
_LARGE: Final = 500_000  # pixels: a line this long looks smooth by itself


def tint(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour) -> None:
    """Mix the colour into the region's pixels, in place. pixels: uint8 [H, W, 3]."""
    part = _extent(mask)
    inside, crop = mask[part], pixels[part]
    mixed = (1 - _TINT) * crop[inside] + _TINT * np.array(colour)
    crop[inside] = mixed.astype(np.uint8)


class Canvas:
    """A copy of an image (uint8 [H, W, 3] RGB) that is drawn on.

    thin: the width of a thin line in pixels.
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._image = Image.fromarray(image)
        self._draw = ImageDraw.Draw(self._image)
        self.thin = max(1, round(image.shape[0] / 600))

    def pixels(self) -> NDArray[np.uint8]:
        return np.array(self._image)

    def contour(self, mask: NDArray[np.bool_], colour: Colour) -> None:
        """A line along the region's edge, holes included."""
        rows, columns = _extent(mask, margin=2 * self.thin + 1)
        region = mask[rows, columns]
        outside = _grown(~region, 1)
        line = _grown(region, self.thin)
        for fill, ring, opacity in (
            (_BLACK, _grown(line, self.thin) & outside, _SHADE),
            (colour, line & outside, 255),
        ):
            shape = Image.fromarray(ring.astype(np.uint8) * np.uint8(opacity))
            self._image.paste(fill, (columns.start, rows.start), shape)

    def box(self, box: NDArray[np.float64], colour: Colour) -> None:
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        draw, rim = ImageDraw.Draw(self._image, "RGBA"), self.thin
        halo = (x0 - rim, y0 - rim, x1 + rim, y1 + rim)
        draw.rectangle(halo, outline=(*_BLACK, _SHADE), width=3 * rim)
        draw.rectangle((x0, y0, x1, y1), outline=(*colour, 255), width=rim + 1)

    def leader_line(self, line: NDArray[np.float64], colour: Colour) -> None:
        """From the label, x and y, to a dot on the object, x and y."""
        radius = self.thin + 1.5
        margin = int(radius) + 3 * self.thin
        ends = line.reshape(2, 2)
        low = ends.min(axis=0).astype(int) - margin
        size = ends.max(axis=0).astype(int) + margin + 1 - low
        smooth = _SMOOTH if size.prod() < _LARGE else 1
        start, end = ((float(x), float(y)) for x, y in (ends - low) * smooth)
        for rim, fill, opacity in ((2, _BLACK, _SHADE), (0, colour, 255)):
            shape = Image.new("L", tuple((size * smooth).tolist()))
            draw = ImageDraw.Draw(shape)
            draw.line([start, end], fill=opacity, width=(self.thin + 1 + rim) * smooth)
            reach = (radius + rim / 2) * smooth
            dot = (end[0] - reach, end[1] - reach, end[0] + reach, end[1] + reach)
            draw.ellipse(dot, fill=opacity)
            self._paste(fill, shape, tuple(low.tolist()), tuple(size.tolist()))

    def label(
        self, label: LabelBox, corner: tuple[int, int], colour: Colour, draft: bool = False
    ) -> None:
        """The label with its upper left corner there; the caption of a draft is dimmed."""
        if not label.width:
            return
        (x0, y0), font, padding = corner, label.font, label.font.padding
        right, bottom = x0 + label.width, y0 + label.height
        self._rounded((x0, y0, right, bottom), padding, _BACKGROUND, _OPACITY)
        bar = x0 + 2 * padding // 3
        self._rounded((bar, y0 + padding, bar + 2 * self.thin, bottom - padding), self.thin, colour)
        left, top = x0 + 2 * padding, y0 + padding + round(0.3 * (font.line_height - font.size))
        if label.heading:
            self._words((left, top), label.heading, font, colour)
        if label.badge:
            start = left + round(font.width(label.heading)) + padding if label.heading else left
            self._badge(label.badge, font, (start, top), draft)
        first_row = 1 if label.heading or label.badge else 0
        for row, words in enumerate(label.lines, start=first_row):
            fill = _TEXT_OF_DRAFT if draft else _TEXT
            self._words((left, top + row * font.line_height), words, font, fill)

    def _badge(self, text: str, font: Font, corner: tuple[int, int], draft: bool) -> None:
        """The text between round ends, as high as a line."""
        x0, y0 = corner
        x1 = x0 + round(font.width(text)) + 2 * font.padding
        ends = (x0, y0, x1, y0 + font.line_height - 1)
        self._rounded(ends, font.size // 2, _BADGE_OF_DRAFT if draft else _BADGE)
        self._words((x0 + font.padding, y0), text, font, _BACKGROUND if draft else _TEXT)

    def _words(self, corner: tuple[int, int], text: str, font: Font, fill: Colour) -> None:
        x = float(corner[0])
        for word in text.split(" "):
            self._draw.text((round(x), corner[1]), word, font=font.face, fill=fill)
            x += font.word_width(word) + font.blank

    def _rounded(
        self, box: tuple[int, int, int, int], radius: int, fill: Colour, opacity: int = 255
    ) -> None:
        """A filled rectangle with round corners, its right and lower edges exclusive."""
        size = (box[2] - box[0], box[3] - box[1])
        if min(size) <= 0:
            return
        shape = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH))
        edges = (0, 0, shape.width - 1, shape.height - 1)
        ImageDraw.Draw(shape).rounded_rectangle(edges, radius * _SMOOTH, fill=opacity)
        self._paste(fill, shape, box[:2], size)

    def _paste(
        self, fill: Colour, shape: Image.Image, corner: tuple[int, int], size: tuple[int, int]
    ) -> None:
        """The colour where the shape, made smaller, is."""
        self._image.paste(fill, corner, shape.resize(size, Image.Resampling.BOX))


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
    x0, y0, x1, y1 = map(int, box_around(mask))
    return (
        slice(max(y0 - margin, 0), min(y1 + margin, mask.shape[0])),
        slice(max(x0 - margin, 0), min(x1 + margin, mask.shape[1])),
    )
