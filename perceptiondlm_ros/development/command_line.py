"""The types of options that the programs for developers share."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that is a whole number in a range, its ends included."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"got {text!r}, expected a whole number from {low} to {high}"
            )
        return int(text)

    return number


def seconds_up_to(most: float) -> Callable[[str], float]:
    """The type of an option that is a time in seconds, more than 0."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(
                f"got {text!r}, expected seconds above 0, up to {most:g}"
            )
        return value

    return number
