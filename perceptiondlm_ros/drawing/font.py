"""Pillow's built-in scalable font: no font has to be installed. It holds Latin letters only."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from PIL import ImageFont

from perceptiondlm_ros.errors import InputError

SMALLEST: Final = 12  # pixels: smaller text can't be read


class Font:
    """The font at one size, and what is measured in it, in pixels.

    Raises InputError where Pillow was built without it.
    """

    def __init__(self, size: float) -> None:
        # Whole pixels: between them blanks vanish in small text.
        face = ImageFont.load_default(max(round(size), SMALLEST))
        if not isinstance(face, ImageFont.FreeTypeFont):
            raise InputError("Pillow was built without FreeType; install the Pillow wheel")
        self.face = face
        self.size = round(face.size)
        self.line_height = round(1.25 * self.size)
        self.padding = round(0.45 * self.size)
        self.blank = round(0.28 * self.size)  # the font's own is hard to see in small text
        # Words come again and again, and measuring them is slow.
        self.word_width = cache(face.getlength)

    def width(self, text: str) -> float:
        """Of a line whose words stand a `blank` apart."""
        words = text.split(" ")
        return sum(map(self.word_width, words)) + self.blank * (len(words) - 1)

    def wrap(self, text: str, column: float, most: int) -> list[str]:
        """At most `most` lines within `column`; a longer word is cut, a loss shown by …"""
        lines: list[str] = []
        line = ""
        words = text.split()[::-1]  # the next one last
        while words:
            word = words.pop()
            longer = f"{line} {word}" if line else word
            if self.width(longer) <= column:
                line = longer
                continue
            if not line:
                ends = np.cumsum([self.width(character) for character in word])
                fitting = max(1, int((ends <= column).sum()))
                line, word = word[:fitting], word[fitting:]
            if word:
                words.append(word)
            if words and len(lines) == most - 1:
                return [*lines, self._with_ellipsis(line, column)]
            lines.append(line)
            line = ""
        return [*lines, line] if line else lines

    def _with_ellipsis(self, line: str, column: float) -> str:
        while line and self.width(line) + self.width("…") > column:
            line = line[:-1]
        return line.rstrip(" ,.;") + "…"


def text_size(height: int) -> float:
    """Pixels of the text on a picture of this height; grows slower than the picture."""
    return float(min(max(height**0.6 / 3, 13.0), 40.0))
