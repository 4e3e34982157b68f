"""The words of a scene and the one sentence that describes an object of it.

`a {size} {pattern} {colour} {shape}, {relation} a {size} {pattern} {colour} {shape}`, where the
relation reads "this object is left of that neighbour", or `a … {shape}, alone`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from perceptiondlm_ros.errors import InputError

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
RELATIONS: Final = ("left of", "right of", "above", "below")


class Attributes(NamedTuple):
    """What an object looks like, one word each."""

    size: str
    pattern: str
    colour: str
    shape: str


class ParsedCaption(NamedTuple):
    """A well-formed caption taken apart; a lone object has neither relation nor neighbour."""

    size: str
    pattern: str
    colour: str
    shape: str
    relation: str | None
    neighbour: Attributes | None

    @property
    def subject(self) -> Attributes:
        """The attributes of the described object itself."""
        return Attributes(self.size, self.pattern, self.colour, self.shape)

    @property
    def alone(self) -> bool:
        """Whether the caption says that there is no other object."""
        return self.neighbour is None


def describe_object(attributes: Attributes) -> str:
    """Return "a large striped red circle". Raises InputError for a word that is not known."""
    known = (SIZES, PATTERNS, COLOURS, SHAPES)
    for field, word, words in zip(Attributes._fields, attributes, known, strict=True):
        if word not in words:
            raise InputError(f"{field} is {word!r}; expected one of {', '.join(words)}")
    return f"a {' '.join(attributes)}"


def compose_caption(
    subject: Attributes, relation: str | None = None, neighbour: Attributes | None = None
) -> str:
    """Return the caption of `subject`; without relation and neighbour it is "…, alone".

    Raises InputError for an unknown word, or where only one of relation and neighbour is given.
    """
    if relation is None and neighbour is None:
        return f"{describe_object(subject)}, alone"
    if relation is None or neighbour is None:
        raise InputError(
            f"relation is {relation!r} and neighbour is {neighbour!r}; give both or neither"
        )
    if relation not in RELATIONS:
        raise InputError(f"relation is {relation!r}; expected one of {', '.join(RELATIONS)}")
    return f"{describe_object(subject)}, {relation} {describe_object(neighbour)}"


def _alternatives(words: tuple[str, ...]) -> str:
    return f"({'|'.join(words)})"


_OBJECT: Final = "a " + " ".join(
    _alternatives(tuple(words)) for words in (SIZES, PATTERNS, COLOURS, SHAPES)
)
_CAPTION: Final = re.compile(f"{_OBJECT}, (?:alone|{_alternatives(RELATIONS)} {_OBJECT})")


def parse_caption(text: str) -> ParsedCaption | None:
    """Take a caption apart; None where `text` is not exactly of the form, letter by letter."""
    match = _CAPTION.fullmatch(text)
    if match is None:
        return None
    words = match.groups()
    size, pattern, colour, shape, relation = words[:5]
    neighbour = None if relation is None else Attributes(*words[5:])
    return ParsedCaption(size, pattern, colour, shape, relation, neighbour)
