"""Regions as they are typed: `--box x0,y0,x1,y1` and `--mask FILE`."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box


@dataclass(frozen=True)
class BoxArgument:
    """x0, y0, x1, y1 in pixels, the right and lower edge exclusive."""

    box: Box

    @property
    def label(self) -> str:
        return "box " + ",".join(str(int(v) if v.is_integer() else v) for v in self.box)

    def as_json(self) -> dict[str, object]:
        return {"box": list(self.box)}


@dataclass(frozen=True)
class MaskArgument:
    """A picture whose pixels other than 0 are the region."""

    path: Path

    @property
    def label(self) -> str:
        return f"mask {self.path}"

    def as_json(self) -> dict[str, object]:
        return {"mask": str(self.path)}


def box(text: str) -> BoxArgument:
    """Four finite numbers, separated by commas, that span an area.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    expected = "expected four numbers x0,y0,x1,y1 in pixels without blanks, as in 40,30,200,180"
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, {expected}") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise argparse.ArgumentTypeError(f"got {text!r}, {expected}")
    if x0 >= x1 or y0 >= y1:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected x0 < x1 and y0 < y1: the left, upper, right and lower edge, "
            "not a corner with width and height"
        )
    return BoxArgument((x0, y0, x1, y1))


def mask(text: str) -> MaskArgument:
    """The path of a mask's file, which is read later."""
    return MaskArgument(Path(text))
