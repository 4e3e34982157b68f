"""How large each label is, in lines of text, and where it stands."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from perceptiondlm_ros.drawing.font import SMALLEST, Font, text_size
from perceptiondlm_ros.drawing.label_placement import Placement, Position, Rects, place_labels
from perceptiondlm_ros.text import one_line

_LONGEST: Final = 400  # characters that are looked at: four lines never hold more
_FULL: Final = 0.7  # share of the picture: more can't be covered by labels without overlap
_HEADING: Final = 1.4  # it may be this much wider than the caption, since it isn't wrapped
_STAY: Final = 0.025  # of cost: less than a step of the penalties, so that large text comes back


class _Attempt(NamedTuple):
    """Text of this size, in at most so many lines of a caption, if it saves the penalty."""

    scale: float
    lines: int
    penalty: float


_ATTEMPTS: Final = (
    _Attempt(1.0, 4, 0.0),
    _Attempt(0.86, 4, 0.03),
    _Attempt(0.75, 4, 0.06),
    _Attempt(0.75, 3, 0.12),
    _Attempt(0.75, 2, 0.2),
    _Attempt(0.75, 1, 0.35),
)
"""Made until labels stand apart and objects stay visible."""


@dataclass(frozen=True)
class Label:
    """What is said of an object: `heading` first, beside it the `badge`, then the caption.

    key: what the object is known by from picture to picture.
    """

    heading: str
    badge: str
    caption: str
    key: Hashable = ""


@dataclass(frozen=True)
class LabelBox:
    """A label laid out in lines: everything about it but its place. Sizes in pixels."""

    heading: str
    badge: str
    lines: tuple[str, ...]
    font: Font
    width: int
    height: int


@dataclass
class LastLayout:
    """How the last picture of a stream was laid out, so that the next one looks like it.

    positions: of each object's label, by the object's key. attempt: which one it was; none at
    first.
    """

    positions: dict[Hashable, Position] = field(default_factory=dict)
    attempt: int | None = None


def lay_out(
    labels: Sequence[Label],
    boxes: Rects,
    width: int,
    height: int,
    last: LastLayout | None = None,
    others: Rects | None = None,
) -> tuple[list[LabelBox], Rects]:
    """Labels in lines and their places [K, 4]; smaller and shorter text is tried before overlap.

    boxes: [K, 4], of the labels' objects. width, height: of the picture. last: is followed, and
    then holds this layout. others: [J, 4], of objects without a label, not to be hidden either.
    """
    last = last or LastLayout()
    before = [last.positions.get(label.key) for label in labels]
    penalties = [attempt.penalty for attempt in _ATTEMPTS]
    if last.attempt is not None:
        penalties[last.attempt] -= _STAY
    best: tuple[tuple[bool, float], int, list[LabelBox], Placement] | None = None
    tried: list[tuple[int, int]] = []
    for number, (scale, lines, _) in enumerate(_ATTEMPTS):
        if best and not best[0][0] and best[0][1] <= min(penalties[number:]):
            break  # no further one can be better
        font, columns = Font(text_size(height) * scale), _columns(boxes, width)
        found = [
            _in_lines(label, font, lines, column)
            for label, column in zip(labels, columns, strict=True)
        ]
        sizes = [(label.width, label.height) for label in found]
        full = sum(w * h for w, h in sizes) > _FULL * width * height
        if sizes == tried or (full and lines > 1):
            continue
        tried = sizes
        placement = place_labels(sizes, boxes, width, height, before, others)
        worth = (placement.overlapping, placement.cost + penalties[number])
        if best is None or worth < best[0]:
            best = worth, number, found, placement
    assert best is not None, "the last attempt is always made"
    _, last.attempt, found, placement = best
    keys = (label.key for label in labels)
    last.positions = dict(zip(keys, placement.positions, strict=True))
    return found, placement.rects


def most_labels(height: int) -> int:
    """How many labels of one line can stand apart on a picture of this height."""
    smallest = max(round(text_size(height) * _ATTEMPTS[-1].scale), SMALLEST)
    return max(1, int(0.75 * height / smallest))


def _columns(boxes: Rects, width: int) -> list[float]:
    """Pixels that a line of each caption may have: as its object, neither narrow nor wide."""
    narrow = 0.27 * width
    columns: list[float] = (boxes[:, 2] - boxes[:, 0]).clip(narrow, 1.6 * narrow).tolist()
    return columns


def _in_lines(label: Label, font: Font, most: int, column: float) -> LabelBox:
    badge = one_line(label.badge[:_LONGEST])
    badge_width = font.width(badge) + 3 * font.padding if badge else 0.0
    room = max(_HEADING * column - badge_width, 0.0)
    heading = "".join(font.wrap(one_line(label.heading[:_LONGEST]), room, 1))
    lines = font.wrap(one_line(label.caption[:_LONGEST]), column, most)
    first = (font.width(heading) if heading else 0.0) + badge_width
    count = len(lines) + bool(heading or badge)
    return LabelBox(
        heading,
        badge,
        tuple(lines),
        font,
        width=round(max([first, *map(font.width, lines)])) + 3 * font.padding if count else 0,
        height=count * font.line_height + 2 * font.padding if count else 0,
    )
