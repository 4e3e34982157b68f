"""Captions for people and for programs: a table and JSON."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.cli.pictures import Region
from perceptiondlm_ros.text import one_line

_HEADINGS = ("region", "confidence", "caption")
_GAP = 2
_NARROWEST = 16  # columns of text below which wrapping helps nobody
_CUT_OFF = " ..."


def write_json(regions: Sequence[Region], captions: Sequence[Caption], stream: TextIO) -> None:
    """A list of objects in the given order, one object a line."""
    objects = [
        {
            "region": region.argument.as_json(),
            "caption": caption.text,
            "confidence": caption.confidence,
            "truncated": caption.truncated,
            "token_ids": caption.token_ids,
        }
        for region, caption in zip(regions, captions, strict=True)
    ]
    # ASCII, which every locale can print.
    lines = ",\n".join(f"  {json.dumps(item)}" for item in objects)
    stream.write(f"[\n{lines}\n]\n")


def write_table(regions: Sequence[Region], captions: Sequence[Caption], stream: TextIO) -> None:
    """A row a region, wrapped to the terminal's width; on one line each where there is none."""
    width = shutil.get_terminal_size(fallback=(0, 0)).columns
    rows = [
        (
            f"{number} {region.argument.label}",
            f"{caption.confidence:.2f}",
            (caption.text.strip() or "(empty)") + _CUT_OFF * caption.truncated,
        )
        for number, (region, caption) in enumerate(zip(regions, captions, strict=True), start=1)
    ]
    stream.write(_encodable(table([_HEADINGS, *rows], width)))


def table(rows: Sequence[tuple[str, str, str]], width: int) -> str:
    """Columns of text: the middle one as wide as its longest cell, the others wrapped.

    Args:
        width: columns of the terminal; 0 wraps nothing.
    """
    cells = [tuple(map(one_line, row)) for row in rows]
    first, middle, last = (max(map(len, column)) for column in zip(*cells, strict=True))
    if width:
        left_over = max(width - middle - 2 * _GAP, 2 * _NARROWEST)
        first = min(first, max(left_over // 3, _NARROWEST))
        last = max(left_over - first, _NARROWEST)
    lines = []
    for region, confidence, caption in cells:
        wrapped = (_wrap(region, first), [confidence.rjust(middle)], _wrap(caption, last))
        for parts in zip_longest(*wrapped, fillvalue=""):
            line = f"{parts[0]:<{first + _GAP}}{parts[1]:<{middle + _GAP}}{parts[2]}"
            lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _encodable(text: str) -> str:
    """The text with a ? for each character that standard output's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False)
