"""One stable colour a track, easy to tell from its neighbours and to read on a dark plate."""

from __future__ import annotations

import math
import re
import zlib

Colour = tuple[int, int, int]
"""Red, green and blue, each 0 to 255 (sRGB)."""

_GOLDEN_RATIO = 0.618034  # successive multiples spread evenly round the colour circle
_VARIATION = 0.06  # of the colour circle
_CHROMA = 0.15  # the most that nearly all hues have in sRGB at these lightnesses
_LIGHTNESS = (0.82, 0.72)  # of even and odd numbers, so that near hues differ in light as well


def track_colour(identity: str, label: str, index: int) -> Colour:
    """The colour of a region: by its id and label, or by its index where it has no id.

    index: in the detector's array.
    """
    return colour_of(identity, label) if identity else colour_of(str(index))


def colour_of(key: str, variant: str = "") -> Colour:
    """The colour of a key: always the same, and far apart for keys that differ in a number.

    variant: shifts it a little, so as not to spoil that.
    """
    match = re.search(r"(\d{1,9})\D*$", key)
    number = int(match.group(1)) if match else 0
    stem = key[: match.start()] if match else key
    shift = _VARIATION * (_share(variant) - 0.5) if variant else 0.0
    hue = (_share(stem) + number * _GOLDEN_RATIO + shift) % 1.0
    return _srgb(_LIGHTNESS[number % 2], _CHROMA, hue * math.tau)


def _share(text: str) -> float:
    """A number in [0, 1) that looks random."""
    return zlib.crc32(text.encode("utf-8", "replace")) / 2**32


def _srgb(lightness: float, chroma: float, hue: float) -> Colour:
    """OKLCH to sRGB: of one lightness all hues look equally bright there, unlike in HLS."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short)
    green = _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short)
    blue = _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short)
    return red, green, blue


def _gamma(linear: float) -> int:
    value = min(max(linear, 0.0), 1.0)
    curved = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(255 * curved)
