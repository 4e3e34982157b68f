"""`perceptiondlm bag`: captions a recorded bag, without ROS."""

from __future__ import annotations

import argparse
import math
import re
import sys
from contextlib import contextmanager
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
    from collections.abc import Callable, Iterator

    from perceptiondlm_ros.captioner import Captioner
    from perceptiondlm_ros.offline.caption_bag import BagOptions, BagSummary

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
    regions.add_argument(
        "--tolerance",
        type=_seconds,
        metavar="S",
        default=0.1,
        help="largest difference between the stamps of an image and its detections in seconds; 0 "
        "takes equal ones only (default: %(default)s)",
    )
    regions.add_argument(
        "--max-regions",
        type=count,
        metavar="N",
        default=24,
        help="most regions of an image, best scores first (default: %(default)s)",
    )
    regions.add_argument(
        "--min-score", type=_score, metavar="SCORE", default=0.0, help="of a detection (default: 0)"
    )
    regions.add_argument(
        "--classes", type=_names, metavar="A,B", default=(), help="only these (default: all)"
    )
    regions.add_argument(
        "--excluded-classes", type=_names, metavar="A,B", default=(), help="not these"
    )
    for side in ("width", "height"):
        regions.add_argument(
            f"--image-{side}",
            type=count,
            metavar="PX",
            default=0,
            help=f"{side} of the image that boxes are given in, where it is the detector's own "
            "size; both 1 for boxes from 0 to 1 (default: the image's)",
        )
    regions.add_argument(
        "--image-fit",
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
    from perceptiondlm_ros.offline.caption_bag import caption_bag

    def load() -> Captioner:
        with Progress("loading"):
            return load_captioner(arguments)

    try:
        options = _options(arguments)
        summary = caption_bag(arguments.source, arguments.output, load, options, _progress)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise
    print("\n".join(_told(summary, arguments)))


def _options(arguments: argparse.Namespace) -> BagOptions:
    from perceptiondlm_ros.messages.region_selection import RegionSettings
    from perceptiondlm_ros.offline.caption_bag import BagOptions

    names = ("checkpoint", "backend", "steps", "caption_tokens", "cache")
    return BagOptions(
        image=arguments.image,
        detections=arguments.detections,
        masks=arguments.masks,
        descriptions=arguments.descriptions,
        tolerance=arguments.tolerance,
        regions=RegionSettings(
            most=arguments.max_regions,
            min_score=arguments.min_score,
            classes=frozenset(arguments.classes),
            excluded_classes=frozenset(arguments.excluded_classes),
            fit=arguments.image_fit,
            seen_width=arguments.image_width,
            seen_height=arguments.image_height,
        ),
        significant_bits=arguments.significant_bits,
        prompt=arguments.prompt,
        partial=arguments.partial,
        model={name: getattr(arguments, name) for name in names},
    )


@contextmanager
def _progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    with Progress(what, total, unit) as progress:
        yield progress.advance


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


def _seconds(text: str) -> float:
    return _number(text, 0.0, 10.0, "seconds")


def _score(text: str) -> float:
    return _number(text, 0.0, 1.0, "a score")


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {what} from {low:g} to {high:g}")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in map(str.strip, text.split(",")) if name)
    if not names:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected names separated by commas")
    return names
