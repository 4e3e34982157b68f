"""`perceptiondlm bag`: captions a recorded bag, without ROS."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptiondlm_ros.cli.model_arguments import (
    add_model_arguments,
    add_significant_bits,
    count,
    load_captioner,
)
from perceptiondlm_ros.terminal import Progress

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Captioner
    from perceptiondlm_ros.offline.caption_bag import BagSummary

_FITS = ("stretch", "letterbox", "corner")

_TOPICS = (
    ("image", None, "sensor_msgs/Image or CompressedImage (default: the only one)"),
    ("detections", None, "vision_msgs/Detection2DArray (default: the only one)"),
    (
        *("masks", None),
        "instance-id images, in which value i + 1 is the mask of detection i (default: boxes)",
    ),
    (
        *("descriptions", "/region_captioner/descriptions"),
        "the topic to add (default: %(default)s)",
    ),
)

_DESCRIPTION = """\
Captions the detections in a bag (MCAP or SQLite) and writes a new bag of the same kind with all
that was in it and the descriptions. Every message of detections is captioned anew, with the image
of its stamp: where stamps are the same these are the node's captions with reuse.enabled false. No
ROS is needed."""

_EPILOG = """\
What is captioned so far lies in OUT.partial. After an interruption, the same command goes on from
there; OUT appears when it is whole. Descriptions are logged at the time at which both image and
detections were in the bag."""


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand's arguments."""
    parser = subparsers.add_parser(
        "bag",
        help="caption the detections in a bag",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "source",
        metavar="IN",
        type=Path,
        help="a bag's folder, or one .mcap or .db3 file, with what lies beside it (.db3-wal)",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="the bag to make, a new folder")
    topics = parser.add_argument_group("topics", "needed only where several could be meant")
    for name, default, told in _TOPICS:
        topics.add_argument(f"--{name}", type=_topic, metavar="TOPIC", default=default, help=told)
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take what can be read of a damaged or incomplete bag, and say at the end what it "
        "lacks (default: that is an error)",
    )
    regions = parser.add_argument_group("regions", "as the node's parameters of these names")
    for option, (field, kind, metavar, usual, told) in _REGIONS.items():
        regions.add_argument(
            option, dest=field, type=kind, metavar=metavar, default=usual, help=told
        )
    regions.add_argument(
        "--image-fit",
        dest="fit",
        choices=_FITS,
        default=_FITS[0],
        help="how the detector brings images to its own size (default: %(default)s)",
    )
    add_significant_bits(regions)
    add_model_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Caption the bag, and say what was written.

    Raises:
        PerceptionDLMError: says what can't be used, or what the model lacks.
    """
    # Here and not above, so that the help needs none of the libraries.
    from perceptiondlm_ros.messages.region_selection import RegionSettings
    from perceptiondlm_ros.offline.caption_bag import BagOptions, caption_bag

    def load() -> Captioner:
        with Progress("loading"):
            return load_captioner(arguments)

    given = vars(arguments)
    names = ("checkpoint", "backend", "steps", "caption_tokens", "cache", "precision")
    options = BagOptions(
        regions=RegionSettings(**{f.name: given[f.name] for f in fields(RegionSettings)}),
        model={name: given[name] for name in (*names, "decoding", "decoding_threshold")},
        **{f.name: given[f.name] for f in fields(BagOptions) if f.name in given},
    )
    try:
        summary = caption_bag(arguments.source, arguments.output, load, options)
    except (KeyboardInterrupt, SystemExit):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise
    print("\n".join(_told(summary, arguments)))


def _told(summary: BagSummary, arguments: argparse.Namespace) -> list[str]:
    """What happened, a line each; nothing that was lost is left out."""
    matching = summary.matching
    earlier = f", {summary.resumed} of them in earlier runs" if summary.resumed else ""
    lines = [f"captioned {summary.regions} regions in {summary.frames} frames{earlier}"]
    if matching.matched_nearest:
        lines.append(
            f"{matching.matched_nearest} frames have an image of another stamp, the nearest"
        )
    if matching.unmatched:
        gap = matching.last_gap
        why = (
            "no image with a stamp" if gap is None else f"the last one is {gap:.3f} s from an image"
        )
        lines.append(f"{matching.unmatched} messages of detections matched no image: {why}")
    if matching.masks_missing:
        lines.append(f"{matching.masks_missing} frames had no masks: boxes are captioned")
    lines += [found.told(topic) for topic, found in matching.unreadable.items()]
    lines += [f"{number} detections dropped: {why}" for why, number in summary.dropped.items()]
    lines += _doubts(summary)
    if summary.foreign:
        lines.append(f"copied as they are, not being ROS 2's: {', '.join(summary.foreign)}")
    lines += [f"the bag is not whole: {sentence}" for sentence in summary.lacking]
    lines += summary.notes
    lines.append(f"{arguments.output}: {summary.storage}, captions on {arguments.descriptions}")
    return lines


def _doubts(summary: BagSummary) -> list[str]:
    from perceptiondlm_ros.messages.bit_depth import low_bits_told
    from perceptiondlm_ros.messages.region_selection import TINY_BOXES

    lines = [
        f"{frames} frames have an image whose captions are doubtful: "
        f"{low_bits_told(bits, '--significant-bits ')}"
        for bits, frames in sorted(summary.low_bits.items())
    ]
    if summary.dropped[TINY_BOXES]:
        lines.append("for such boxes this command has --image-width 1 --image-height 1")
    return lines


def _topic(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z_]\w*(/[A-Za-z_]\w*)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a full topic name such as /image")
    return text


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {what} from {low:g} to {high:g}")
    return value


def _names(text: str) -> frozenset[str]:
    names = frozenset(name for name in map(str.strip, text.split(",")) if name)
    if not names:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected names separated by commas")
    return names


_SIDE = (
    "{} of the image that boxes are given in, where it is the detector's own size; both 1 for "
    "boxes from 0 to 1 (default: the image's)"
)
_REGIONS: dict[str, tuple[str, Callable[[str], object], str, object, str]] = {
    "--tolerance": (
        *("tolerance", partial(_number, low=0.0, high=10.0, what="seconds"), "S", 0.1),
        "largest difference between the stamps of an image and its detections in seconds; 0 "
        "takes equal ones only (default: %(default)s)",
    ),
    "--max-regions": (
        *("most", count, "N", 24),
        "most regions of an image, best scores first (default: %(default)s)",
    ),
    "--min-score": (
        *("min_score", partial(_number, low=0.0, high=1.0, what="a score"), "SCORE", 0.0),
        "of a detection (default: 0)",
    ),
    "--classes": ("classes", _names, "A,B", frozenset(), "only these (default: all)"),
    "--excluded-classes": ("excluded_classes", _names, "A,B", frozenset(), "not these"),
    "--image-width": ("seen_width", count, "PX", 0, _SIDE.format("width")),
    "--image-height": ("seen_height", count, "PX", 0, _SIDE.format("height")),
}
"""Options by which regions are chosen: field of the settings, type, metavar, default and help."""
