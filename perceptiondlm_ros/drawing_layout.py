"""Where captions stand on a picture: how large each plate is, and a place for it.

Knows boxes and text only; what a plate looks like is for `drawing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box

_MAX_LINES = 4
MAX_TEXT = 400  # characters that are looked at: four lines never hold more
_MOST_SEARCHED = 60  # above this many plates no picture has room, so only the near places are tried


@dataclass(frozen=True)
class Plate:
    """A caption laid out in lines: everything about it but its place."""

    heading: str
    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont
    padding: int
    width: int
    height: int


def lay_out(
    texts: Sequence[tuple[str, str]], boxes: NDArray[np.float64], width: int, height: int
) -> tuple[list[Plate], list[Box]]:
    """Plates and their places; smaller text is tried before plates are let overlap.

    texts: the heading and the caption of each box. boxes: [K, 4]. width, height: of the picture.
    """
    size = min(max(height / 36, 13.0), 40.0)
    for scale in (1.0, 0.88, 0.76):
        font = ImageFont.load_default(max(size * scale, 11.0))
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise InputError("Pillow was built without FreeType; install the Pillow wheel")
        plates = [
            _fit(heading, caption, font, 0.27 * width, box[2] - box[0])
            for (heading, caption), box in zip(texts, boxes, strict=True)
        ]
        places, crowded = _place(plates, boxes, width, height)
        if not crowded:
            break
    return plates, places


def _fit(
    heading: str, caption: str, font: ImageFont.FreeTypeFont, column: float, box_width: float
) -> Plate:
    column = max(column, min(box_width, 1.6 * column))
    first = _wrap(heading, font, column, 1)
    lines = _wrap(one_line(caption[:MAX_TEXT]), font, column, _MAX_LINES)
    padding = round(0.45 * font.size)
    text_width = max((font.getlength(line) for line in first + lines), default=0.0)
    count = len(first) + len(lines)
    return Plate(
        heading=first[0] if first else "",
        lines=tuple(lines),
        font=font,
        padding=padding,
        width=round(text_width) + 3 * padding if count else 0,
        height=round(count * line_height(font)) + 2 * padding if count else 0,
    )


def line_height(font: ImageFont.FreeTypeFont) -> float:
    return 1.22 * font.size


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
    plates: Sequence[Plate], boxes: NDArray[np.float64], width: int, height: int
) -> tuple[list[Box], bool]:
    """A place for each plate, most crowded box first, and whether any two plates overlap."""
    places: list[Box] = [(0.0, 0.0, 0.0, 0.0)] * len(plates)
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
        cost = cost / max(plate.width * plate.height, 1) + gap(rects, box) / height
        best = int(np.argmin(cost + 1e-4 * np.minimum(np.arange(len(cost)), 9)))
        crowded = crowded or bool(covered[best] > 0)
        taken = np.concatenate([taken, rects[best : best + 1]])
        x0, y0, x1, y1 = (float(v) for v in rects[best])
        places[index] = (x0, y0, x1, y1)
    return places, crowded


def _near(plate: Plate, box: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Upper left corners beside the box, the most natural first: above, below, right, left, in."""
    x0, y0, x1, y1 = (float(v) for v in box)
    w, h, space = plate.width, plate.height, 3
    above, below = y0 - h - space, y1 + space
    corners = [(x0, above), (x1 - w, above), (x0, below), (x1 - w, below)]
    corners += [(x1 + space, y0), (x0 - w - space, y0)]
    corners += [(x1 + space, y1 - h), (x0 - w - space, y1 - h)]
    corners += [(x0 + space, y0 + space), (x0 + space, y1 - h - space)]
    return np.array(corners, dtype=np.float64)


def _grid(plate: Plate, width: int, height: int) -> NDArray[np.float64]:
    xs = np.linspace(0, max(width - plate.width, 0), 33)
    ys = np.linspace(0, max(height - plate.height, 0), 33)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _overlap(rects: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area in pixels that each of `rects` [K, 4] shares with `others` [J, 4], summed: [K]."""
    low = np.maximum(rects[:, None, :2], others[None, :, :2])
    high = np.minimum(rects[:, None, 2:], others[None, :, 2:])
    shared: NDArray[np.float64] = (high - low).clip(min=0).prod(axis=-1).sum(axis=1)
    return shared


def gap(rects: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in pixels between each of `rects` [K, 4] and the box: [K]."""
    sides = np.maximum(box[:2] - rects[:, 2:], rects[:, :2] - box[2:]).clip(min=0)
    distances: NDArray[np.float64] = np.hypot(sides[:, 0], sides[:, 1])
    return distances
