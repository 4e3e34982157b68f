"""How large each plate with a caption is, in lines of text, and where it stands.

What a plate looks like is for `pens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from perceptiondlm_ros.drawing.geometry import Rects
from perceptiondlm_ros.drawing.placement import Places, Spot, place
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.text import one_line

MAX_TEXT: Final = 400  # characters that are looked at: four lines never hold more
_SMALLEST: Final = 12  # pixels: smaller text can't be read
_FULL: Final = 0.7  # share of the picture: more of it can't be covered by plates without overlap

_HEADING: Final = 1.4  # it may be this much wider than the caption, since it isn't wrapped

# What is tried until plates stand apart and objects stay visible: the size of the text, the lines
# of a caption, and by how much the strain of the places has to become less for it.
_ATTEMPTS: Final = ((1.0, 4), (0.86, 4), (0.75, 4), (0.75, 3), (0.75, 2), (0.75, 1))
_PRICES: Final = (0.0, 0.03, 0.06, 0.12, 0.2, 0.35)
_STAY: Final = 0.025  # of strain: less than a step of the prices, so that large text comes back


@dataclass(frozen=True)
class Label:
    """What stands on a plate: `heading` first, beside it the `badge`, then the caption."""

    heading: str
    badge: str
    caption: str


@dataclass(frozen=True)
class Plate:
    """A label laid out in lines: everything about it but its place. Sizes in pixels."""

    heading: str
    badge: str
    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont
    padding: int
    width: int
    height: int


@dataclass
class Memory:
    """How the last picture of a stream was laid out, so that the next one looks like it.

    spots: of each object's plate, by the object's key. attempt: which one it was; none at first.
    """

    spots: dict[str, Spot] = field(default_factory=dict)
    attempt: int | None = None


def lay_out(
    labels: Sequence[Label],
    boxes: Rects,
    width: int,
    height: int,
    memory: Memory | None = None,
    keys: Sequence[str] = (),
    others: Rects | None = None,
) -> tuple[list[Plate], Rects]:
    """Plates and their places [K, 4]; smaller and shorter text is tried before plates overlap.

    boxes: [K, 4], of the labels' objects. width, height: of the picture. memory: is followed, and
    then holds this layout. keys: what the objects are known by in the memory. others: [J, 4], of
    objects without a label, which plates keep off as well.
    """
    memory = memory or Memory()
    keys = keys or [str(number) for number in range(len(labels))]
    before = [memory.spots.get(key) for key in keys]
    prices = [price - (number == memory.attempt) * _STAY for number, price in enumerate(_PRICES)]
    best: tuple[tuple[bool, float], int, list[Plate], Places] | None = None
    tried: list[tuple[int, int]] = []
    for number, (scale, lines) in enumerate(_ATTEMPTS):
        if best and not best[0][0] and best[0][1] <= min(prices[number:]):
            break  # no further one can be better
        font = load_font(text_size(height) * scale)
        plates = _fit_all(labels, boxes, font, lines, 0.27 * width)
        sizes = [(plate.width, plate.height) for plate in plates]
        full = sum(w * h for w, h in sizes) > _FULL * width * height
        if sizes == tried or (full and lines > 1):
            continue
        tried = sizes
        places = place(sizes, boxes, width, height, before, others)
        worth = (places.overlapping, places.strain + prices[number])
        if best is None or worth < best[0]:
            best = worth, number, plates, places
    assert best is not None, "the last attempt is always made"
    _, memory.attempt, plates, places = best
    memory.spots = dict(zip(keys, places.spots, strict=True))
    return plates, places.rects


def text_size(height: int) -> float:
    """Pixels of the text on a picture of this height; grows slower than the picture."""
    return float(min(max(height**0.6 / 3, 13.0), 40.0))


def most_labels(height: int) -> int:
    """How many labels of one line can stand apart on a picture of this height."""
    smallest = max(round(text_size(height) * min(scale for scale, _ in _ATTEMPTS)), _SMALLEST)
    return max(1, int(0.75 * height / smallest))


def line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(1.25 * font.size)


def load_font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, at whole pixels: between them blanks vanish in small text."""
    font = ImageFont.load_default(max(round(size), _SMALLEST))
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InputError("Pillow was built without FreeType; install the Pillow wheel")
    return font


def _fit_all(
    labels: Sequence[Label],
    boxes: Rects,
    font: ImageFont.FreeTypeFont,
    lines: int,
    column: float,
) -> list[Plate]:
    word_width = cache(font.getlength)  # words come again and again, and measuring them is slow

    def width_of(text: str) -> float:
        return text_width(text, font, word_width)

    widths = (boxes[:, 2] - boxes[:, 0]).clip(column, 1.6 * column)
    return [
        _fit(label, font, width_of, lines, float(width))
        for label, width in zip(labels, widths, strict=True)
    ]


def blank(font: ImageFont.FreeTypeFont) -> int:
    """Pixels between two words; the font's own blank is hard to see in small text."""
    return round(0.28 * font.size)


def text_width(
    text: str, font: ImageFont.FreeTypeFont, word_width: Callable[[str], float] | None = None
) -> float:
    """Pixels of a line whose words stand a `blank` apart."""
    words = text.split(" ")
    return sum(map(word_width or font.getlength, words)) + blank(font) * (len(words) - 1)


def _fit(
    label: Label,
    font: ImageFont.FreeTypeFont,
    width_of: Callable[[str], float],
    most: int,
    column: float,
) -> Plate:
    badge = one_line(label.badge[:MAX_TEXT])
    badge_width = width_of(badge) + badge_space(font) if badge else 0.0
    room = max(_HEADING * column - badge_width, 0.0)
    heading = wrap(one_line(label.heading[:MAX_TEXT]), width_of, room, 1)
    lines = wrap(one_line(label.caption[:MAX_TEXT]), width_of, column, most)
    padding = round(0.45 * font.size)
    first = width_of(heading[0]) if heading else 0.0
    widest = max([first + badge_width, *map(width_of, lines)])
    count = len(lines) + bool(heading or badge)
    return Plate(
        heading=heading[0] if heading else "",
        badge=badge,
        lines=tuple(lines),
        font=font,
        padding=padding,
        width=round(widest) + 3 * padding if count else 0,
        height=count * line_height(font) + 2 * padding if count else 0,
    )


def badge_space(font: ImageFont.FreeTypeFont) -> int:
    """Pixels that a badge takes beside its own text: the gap before it and its two ends."""
    return 3 * round(0.45 * font.size)


def wrap(text: str, width_of: Callable[[str], float], column: float, most: int) -> list[str]:
    """Lines of at most `column` pixels; a word that is too long is cut, a lost rest shown by …"""
    lines: list[str] = []
    line = ""
    words = text.split()[::-1]  # the next one last
    while words:
        word = words.pop()
        longer = f"{line} {word}" if line else word
        if width_of(longer) <= column:
            line = longer
            continue
        if not line:
            cut = _longest_start(word, width_of, column)
            line, word = word[:cut], word[cut:]
        if word:
            words.append(word)
        if words and len(lines) == most - 1:
            return [*lines, _with_ellipsis(line, width_of, column)]
        lines.append(line)
        line = ""
    return [*lines, line] if line else lines


def _longest_start(word: str, width_of: Callable[[str], float], column: float) -> int:
    """How many of the word's first characters fit, one at least."""
    ends = np.array([width_of(character) for character in word]).cumsum()
    fitting: NDArray[np.bool_] = ends <= column
    return max(1, int(fitting.sum()))


def _with_ellipsis(line: str, width_of: Callable[[str], float], column: float) -> str:
    while line and width_of(line) + width_of("…") > column:
        line = line[:-1]
    return line.rstrip(" ,.;") + "…"
