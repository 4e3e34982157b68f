"""Captions for people and for programs: a table and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TextIO

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.cli.region_arguments import RegionArgument
from perceptiondlm_ros.terminal import table

_HEADINGS = ("region", "confidence", "caption")
_CUT_OFF = " ..."


def write_json(
    regions: Sequence[RegionArgument], captions: Sequence[Caption], stream: TextIO
) -> None:
    """A list of objects in the given order, one object a line."""
    objects = [
        {
            "region": region.as_json(),
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


def write_table(
    regions: Sequence[RegionArgument], captions: Sequence[Caption], stream: TextIO
) -> None:
    """A row a region, wrapped to the terminal's width; on one line each where there is none."""
    rows = [
        (
            f"{number} {region.label}",
            f"{caption.confidence:.2f}",
            (caption.text.strip() or "(empty)") + _CUT_OFF * caption.truncated,
        )
        for number, (region, caption) in enumerate(zip(regions, captions, strict=True), start=1)
    ]
    # A ? stands for each character that standard output's encoding lacks.
    encoding = sys.stdout.encoding or "utf-8"
    text = table([_HEADINGS, *rows], numbers=[_HEADINGS.index("confidence")])
    stream.write(text.encode(encoding, "replace").decode(encoding))
