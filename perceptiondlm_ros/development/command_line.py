"""The types of options that the programs for developers share."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """The type of an option that is an int or a float in a range, its ends included."""

    def parse(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"got {text!r}, expected {what} from {low:.15g} to {high:.15g}"
            )
        return value

    return parse
