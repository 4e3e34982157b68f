"""Regions as they are typed: `--box x0,y0,x1,y1` and `--mask FILE`."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perceptiondlm_ros.pixel_boxes import Box


@dataclass(frozen=True)
class RegionArgument:
    """A region as it was typed: a box in pixels, or a picture whose pixels other than 0 it is."""

    region: Box | Path

    @property
    def label(self) -> str:
        """The option's name and value."""
        (option, value), *_ = self.as_json().items()
        return f"{option} {value if isinstance(value, str) else ','.join(map(_number, value))}"

    def as_json(self) -> dict[str, str | list[float]]:
        """The value by the option's name."""
        if isinstance(self.region, Path):
            return {"mask": str(self.region)}
        return {"box": list(self.region)}


def box(text: str) -> RegionArgument:
    """Four finite numbers, separated by commas, that span an area.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    expected = "expected four numbers x0,y0,x1,y1 in pixels without blanks, as in 40,30,200,180"
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise argparse.ArgumentTypeError(f"got {text!r}, {expected}")
    if x0 >= x1 or y0 >= y1:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected x0 < x1 and y0 < y1: the left, upper, right and lower edge, "
            "not a corner with width and height"
        )
    return RegionArgument((x0, y0, x1, y1))


def mask(text: str) -> RegionArgument:
    """The path of a mask's file, which is read later."""
    return RegionArgument(Path(text))


def _number(value: float) -> str:
    return str(int(value) if value.is_integer() else value)
