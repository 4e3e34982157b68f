"""Images of 16-bit numbers of which the camera uses fewer bits: the lowest ones, or all of them.

Sensors have 10, 12 or 14 bits. Some drivers stretch them over all 16, others leave the upper ones
empty and say so nowhere: such an image looks nearly black.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError

ALL_BITS: Final = 16
FEWEST_BITS: Final = 8
_TOLD: Final = (8, 10, 12)
"""What numbers are found to use; with more bits a picture may simply be a dark one."""

_SAMPLED_ROWS: Final = 16

Numbers = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Decoded:
    """An image of a message or a file.

    pixels: uint8 [H, W, 3] RGB, to be read only.
    low_bits: so many of its 16 bits hold all that there is, so that it is nearly black; 0 where
        they are enough, or were told.
    """

    pixels: NDArray[np.uint8]
    low_bits: int = 0


def to_8_bits(numbers: Numbers, bits: int = ALL_BITS) -> NDArray[np.uint8]:
    """Numbers of so many bits as uint8, full range to full range, rounded; uint8 stays as it is.

    Raises:
        InputError: a number needs more bits.
    """
    if numbers.dtype == np.uint8:
        return numbers.astype(np.uint8, copy=False)
    try:
        narrowed: NDArray[np.uint8] = _table(bits)[numbers]
    except IndexError:  # found while looking up: no pass of its own over the image
        raise InputError(
            f"image data: got numbers above {2**bits - 1}, expected {bits} significant bits; set "
            "image.significant_bits or --significant-bits to what the camera has, or to "
            f"{ALL_BITS} where that isn't known"
        ) from None
    return narrowed


def significant(numbers: NDArray[np.uint16], bits: int) -> tuple[Numbers, int]:
    """Numbers of so many bits as uint8; as they are and with their `low_bits` where bits is 0.

    Raises:
        InputError: a number needs more bits.
    """
    if bits == 0:
        return numbers, low_bits(numbers)
    return (numbers if bits == ALL_BITS else to_8_bits(numbers, bits)), 0


def low_bits(numbers: NDArray[np.uint16]) -> int:
    """How many of the lowest bits hold all the numbers: 8, 10 or 12; 0 for more, and for black.

    Every 16th row mostly tells. Only of an image that is dark there all numbers are looked at,
    which takes a fraction of the time that their conversion takes.
    """
    limit = 1 << _TOLD[-1]
    if numbers[::_SAMPLED_ROWS].max() >= limit:
        return 0
    most = int(numbers.max())
    return next((bits for bits in _TOLD if 0 < most < 1 << bits), 0)


def has_16_bit_colours(picture: Any) -> bool:
    """Whether Pillow, which has no 16-bit colours, takes the upper halves of those in a file.

    Args:
        picture: a Pillow image as it was opened, not loaded.
    """
    return any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))


def low_bits_told(bits: int, setting: str) -> str:
    """What is wrong with an image of these `low_bits`. setting: what says it, without the value."""
    return (
        f"its 16-bit numbers use only the lowest {bits} bits, so it is nearly black; set "
        f"{setting}{bits} or what the camera has, or {setting}{ALL_BITS} if the scene is that dark"
    )


@cache
def _table(bits: int) -> NDArray[np.uint8]:
    most = 2**bits - 1
    table: NDArray[np.uint8] = np.rint(np.arange(most + 1) * (255 / most)).astype(np.uint8)
    return table
