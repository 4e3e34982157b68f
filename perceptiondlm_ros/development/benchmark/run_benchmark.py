"""Measure every backend and cache mode that runs here: times by stage, peak memory, a plot.

python -m perceptiondlm_ros.development.benchmark.run_benchmark [--like small | --checkpoint FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from perceptiondlm_ros.development.benchmark.baseline import plan_baseline
from perceptiondlm_ros.development.benchmark.benchmark_report import report
from perceptiondlm_ros.development.benchmark.models import LIBRARIES, SIZES
from perceptiondlm_ros.development.benchmark.neighbours import plan_neighbours
from perceptiondlm_ros.development.benchmark.scenarios import plan_scenarios
from perceptiondlm_ros.development.command_line import number
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.model.contract import MOST_STEPS

FAILED, INTERRUPTED = 2, 130

_NOT_WITH: Final = {
    "baseline": ("like", "checkpoint", "precision", "backends", "regions", "steps", "quick"),
    "neighbours": ("like", "regions", "steps", "quick"),
}
"""Options that would change nothing."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Raises:
        SystemExit: with status 2 after one line that says what is wrong, 0 after `--help`.
    """
    parser = _Parser(
        prog="bench",
        description="Measure each backend and cache mode: times by stage, peak memory.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--like",
        choices=SIZES,
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
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--baseline",
        metavar="COMMIT",
        help="instead time this version against a commit of the repository, which is checked out "
        "and set up in the cache folder, or against a folder with a checkout that is set up",
    )
    instead.add_argument(
        "--neighbours",
        action="store_true",
        help="instead time captions alone and beside one and two processes that compute",
    )
    add(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8"),
        help="of the export that other backends than torch run (default fp32)",
    )
    add("--backends", nargs="+", choices=LIBRARIES, help="which; default all that are here")
    add(
        "--regions",
        nargs="+",
        type=number(int, 1, 64),
        metavar="N",
        help="regions in a call (default 1 2 3 4 5 6 12)",
    )
    add(
        "--repetitions",
        type=number(int, 1, 1000),
        metavar="R",
        help="of each measurement, after one to warm up (default 3; with --baseline 7, with "
        "--neighbours 15)",
    )
    add(
        "--steps",
        type=number(int, 1, MOST_STEPS),
        metavar="S",
        help="denoising steps (default what the checkpoint is meant for)",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    add(
        "--output",
        type=Path,
        default=Path("bench_output"),
        metavar="FOLDER",
        help="where results, plots and what was made for measuring go (default %(default)s)",
    )
    add(
        "--quick",
        action="store_true",
        help="1 and 6 regions, 8 steps, one repetition, unless said otherwise",
    )
    options = parser.parse_args(arguments)
    for mode, others in _NOT_WITH.items():
        for name in others:
            if getattr(options, mode) and getattr(options, name) not in (None, False):
                parser.error(f"argument --{name}: not allowed with argument --{mode}")
    usual = ([1, 6], 1, 8) if options.quick else ([1, 2, 3, 4, 5, 6, 12], 3, None)
    options.like, options.precision = options.like or "small", options.precision or "fp32"
    options.regions = options.regions or usual[0]
    options.repetitions = options.repetitions or (
        7 if options.baseline else 15 if options.neighbours else usual[1]
    )
    options.steps = options.steps or usual[2]
    options.regions = list(dict.fromkeys(options.regions))  # each value once
    return options


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 2 if anything asked for was not measured."""
    options = parse(arguments)
    make_plan = plan_scenarios
    if options.baseline or options.neighbours:
        make_plan = plan_baseline if options.baseline else plan_neighbours
    interrupted = False
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=options.output) as work:
            options.work = Path(work)
            plan = make_plan(options)
            try:
                plan.measure(options.output)
            except KeyboardInterrupt:
                interrupted = True  # what was measured until then is worth keeping
            print(report(plan, options.output))
    except (PerceptionDLMError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    if interrupted:
        return INTERRUPTED
    return FAILED if any(subject.failure for subject in plan.subjects) else 0


if __name__ == "__main__":
    sys.exit(main())
