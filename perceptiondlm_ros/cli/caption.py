"""`perceptiondlm caption`: captions for regions of a picture, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptiondlm_ros.cli.model_arguments import (
    add_model_arguments,
    add_significant_bits,
    load_captioner,
)
from perceptiondlm_ros.cli.region_arguments import RegionArgument, box, mask
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.terminal import Progress, table
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption, Captioner
    from perceptiondlm_ros.cli.picture_files import Picture

_HEADINGS = ("region", "confidence", "caption")
_CUT_OFF = " ..."

_DESCRIPTION = """\
Captions the given regions of an image in one parallel denoising pass and prints one row a region,
in the order of the command line."""

_EPILOG = """\
Coordinates are pixels of the picture as it is shown, that is, after the rotation that a camera
noted in it. Confidence is uncalibrated: it compares captions of one checkpoint. A caption that ends
with ... was cut off; --caption-tokens gives it more room. A box that reaches beyond the picture is
cut, and stderr says so."""


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand's arguments."""
    parser = subparsers.add_parser(
        "caption",
        help="caption regions of an image",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "image", metavar="IMAGE", type=Path, help="a picture: PNG, JPEG, TIFF or the like"
    )
    add_significant_bits(parser)
    regions = parser.add_argument_group("regions", "at least one; boxes and masks in any order")
    regions.add_argument(
        "--box",
        dest="regions",
        action="append",
        default=[],
        type=box,
        metavar="x0,y0,x1,y1",
        help="left, upper, right and lower edge in pixels (may be repeated)",
    )
    regions.add_argument(
        "--mask",
        dest="regions",
        action="append",
        type=mask,
        metavar="FILE",
        help="a picture of the image's size whose pixels other than 0 are the region "
        "(may be repeated)",
    )
    add_model_arguments(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="print a JSON list, one object a region"
    )
    output.add_argument(
        "--annotate",
        type=Path,
        metavar="OUT.png",
        help="also write the image with boxes and captions drawn on it",
    )


def run(arguments: argparse.Namespace) -> None:
    """Caption and print.

    Raises:
        PerceptionDLMError: says which argument can't be used, or what the model lacks.
    """
    given: list[RegionArgument] = arguments.regions
    if not given:
        raise InputError(
            "no region was given; expected at least one --box x0,y0,x1,y1 or --mask FILE"
        )
    with Progress("loading") as waiting:
        # Here and not above, so that the help needs none of the libraries.
        from perceptiondlm_ros.cli import picture_files

        picture = picture_files.read_picture(arguments.image, given, arguments.significant_bits)
        if arguments.annotate:
            picture_files.check_writable(arguments.annotate, inputs=picture.files)
        captioner = load_captioner(arguments)
        waiting.now(f"captioning {len(given)} region{'s' * (len(given) > 1)}")
        captions = _describe(captioner, picture, arguments)
    for doubt in picture.doubts:  # after the block, which may have a line of its own on a terminal
        print("perceptiondlm:", one_line(doubt), file=sys.stderr)
    if arguments.annotate:
        picture_files.write_annotated(arguments.annotate, picture, captions)
    print((json_text if arguments.json else table_text)(given, captions), end="")


def _describe(
    captioner: Captioner, picture: Picture, arguments: argparse.Namespace
) -> list[Caption]:
    try:
        return captioner.describe(picture.image, picture.regions, arguments.prompt)
    except InputError as error:
        # The API names a region by its place in the list, which nobody typed.
        message = str(error)
        for index, region in enumerate(arguments.regions):
            message = message.replace(f"regions[{index}]", f"--{region.label}")
        raise InputError(message) from error


def json_text(regions: Sequence[RegionArgument], captions: Sequence[Caption]) -> str:
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
    return f"[\n{lines}\n]\n"


def table_text(regions: Sequence[RegionArgument], captions: Sequence[Caption]) -> str:
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
    return text.encode(encoding, "replace").decode(encoding)
