"""The options of `make bench`, checked before anything is made or loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar, get_args

from perceptiondlm_ros.development.benchmark.sizes import Like
from perceptiondlm_ros.model.contract import MOST_STEPS

BACKENDS = ("torch", "onnx", "tensorrt")
CACHES = ("exact", "prefix")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")

_Value = TypeVar("_Value", int, str)

_MOST_REGIONS, _MOST_TILES, _MOST_REPETITIONS = 64, 65, 1000


@dataclass(frozen=True)
class Options:
    """Attributes:
    like: size of the random checkpoint, None where `checkpoint` is given.
    checkpoint: a folder to measure, a checkpoint or an exported model; an empty path is the
        packaged checkpoint.
    precision: of what is exported where a backend needs it.
    backends: None is all that are here.
    regions, tiles: every combination is measured; None for `tiles` is those of 1, 3 and 7 that
        the checkpoint cuts images into.
    steps: denoising steps; None is what the checkpoint is meant for.
    output: folder of the results.
    """

    like: Like | None
    checkpoint: Path | None
    precision: str
    backends: tuple[str, ...] | None
    caches: tuple[str, ...]
    regions: tuple[int, ...]
    tiles: tuple[int, ...] | None
    repetitions: int
    steps: int | None
    device: str
    output: Path


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line.

    Raises:
        SystemExit: with status 2 after one line that says what is wrong, 0 after `--help`.
    """
    given = _parser().parse_args(arguments)
    quick = given.quick
    checkpoint = None if given.checkpoint is None else Path(given.checkpoint)
    return Options(
        like=None if checkpoint is not None else given.like or "small",
        checkpoint=checkpoint,
        precision=given.precision,
        backends=_once(given.backends),
        caches=_once(given.caches) or CACHES,
        regions=_once(given.regions) or ((1, 6) if quick else (1, 2, 3, 4, 5, 6, 12)),
        tiles=_once(given.tiles),
        repetitions=given.repetitions or (1 if quick else 3),
        steps=given.steps or (8 if quick else None),
        device=given.device,
        output=given.output,
    )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bench",
        description="Measure each backend and cache mode: times by stage, peak memory.",
        allow_abbrev=False,
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--like",
        choices=get_args(Like),
        help="make random weights of this size: small (54 MB in the proportions of the "
        "published ones), or published (8.5 billion, 17 GB); default small",
    )
    model.add_argument(
        "--checkpoint",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="measure this checkpoint or exported model, without a folder the packaged checkpoint",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of the export that other backends than torch run (default %(default)s)",
    )
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, help="which; default all that are here"
    )
    parser.add_argument("--caches", nargs="+", choices=CACHES, help="which; default both")
    parser.add_argument(
        "--regions",
        nargs="+",
        type=_whole(_MOST_REGIONS),
        metavar="N",
        help="regions in a call (default 1 2 3 4 5 6 12)",
    )
    parser.add_argument(
        "--tiles",
        nargs="+",
        type=_whole(_MOST_TILES),
        metavar="T",
        help="tiles that the image is cut into (default 1 3 7, where the checkpoint does that)",
    )
    parser.add_argument(
        "--repetitions",
        type=_whole(_MOST_REPETITIONS),
        metavar="R",
        help="of each measurement, after one to warm up (default 3)",
    )
    parser.add_argument(
        "--steps",
        type=_whole(MOST_STEPS),
        metavar="S",
        help="denoising steps (default what the checkpoint is meant for)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("bench_output"),
        metavar="FOLDER",
        help="where results, plots and what was made for measuring go (default %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="1 and 6 regions, 8 steps, one repetition, unless said otherwise",
    )
    return parser


def _once(values: list[_Value] | None) -> tuple[_Value, ...] | None:
    """Each value once, in the order given."""
    return None if values is None else tuple(dict.fromkeys(values))


def _whole(most: int) -> Callable[[str], int]:
    """A whole number from 1, as an option's type."""

    def number(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"got {text!r}, expected a whole number from 1 to {most}"
            )
        return int(text)

    return number
