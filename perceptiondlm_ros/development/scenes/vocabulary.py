"""The words of a scene and the one sentence that describes an object of it.

`a {size} {pattern} {colour} {shape}, {relation} a {size} {pattern} {colour} {shape}`, where the
relation reads "this object is left of that neighbour", or `a … {shape}, alone`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

SHAPES: Final = ("circle", "square", "triangle", "star", "cross", "heart", "diamond", "crescent")

COLOURS: Final[Mapping[str, tuple[int, int, int]]] = MappingProxyType(
    {
        "red": (212, 30, 38),
        "orange": (250, 128, 12),
        "yellow": (250, 218, 40),
        "green": (36, 148, 56),
        "cyan": (48, 200, 216),
        "blue": (34, 70, 204),
        "purple": (134, 46, 168),
        "pink": (250, 136, 184),
        "brown": (108, 62, 30),
        "white": (242, 242, 240),
    }
)
"""Name to RGB, 0 to 255, as seen in neutral light."""

SIZES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"small": (0.15, 0.18), "medium": (0.24, 0.28), "large": (0.36, 0.42)}
)
"""Name to the range of diameters, as a fraction of the image's shorter side."""

PATTERNS: Final = ("plain", "striped", "dotted", "checkered")

WORDS: Final = (tuple(SIZES), PATTERNS, tuple(COLOURS), SHAPES)
"""The words of an object in the order of its description."""

RELATIONS: Final = ("left of", "right of", "above", "below")


class Attributes(NamedTuple):
    """What an object looks like, one word each."""

    size: str
    pattern: str
    colour: str
    shape: str


class ParsedCaption(NamedTuple):
    """A well-formed caption taken apart; a lone object has neither relation nor neighbour."""

    subject: Attributes
    relation: str | None
    neighbour: Attributes | None


def compose_caption(
    subject: Attributes, relation: str | None = None, neighbour: Attributes | None = None
) -> str:
    """Return the caption of `subject`; without relation and neighbour it is "…, alone"."""
    described = f"a {' '.join(subject)}"
    if relation is None or neighbour is None:
        return f"{described}, alone"
    return f"{described}, {relation} a {' '.join(neighbour)}"


_OBJECT: Final = "a " + " ".join(f"({'|'.join(words)})" for words in WORDS)
_CAPTION: Final = re.compile(f"{_OBJECT}, (?:alone|({'|'.join(RELATIONS)}) {_OBJECT})")


def parse_caption(text: str) -> ParsedCaption | None:
    """Take a caption apart; None where `text` is not exactly of the form, letter by letter."""
    match = _CAPTION.fullmatch(text)
    if match is None:
        return None
    words = match.groups()
    neighbour = None if words[4] is None else Attributes(*words[5:])
    return ParsedCaption(Attributes(*words[:4]), words[4], neighbour)
