"""Measure every backend and cache mode that runs here: times by stage, peak memory, a plot.

python -m perceptiondlm_ros.development.benchmark.run_benchmark [--like small | --checkpoint FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from perceptiondlm_ros.development.benchmark.models import LIBRARIES
from perceptiondlm_ros.development.command_line import whole_number
from perceptiondlm_ros.model.contract import MOST_STEPS

FAILED, INTERRUPTED = 2, 130


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
        choices=("small", "published"),
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
    add(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8"),
        default="fp32",
        help="of the export that other backends than torch run (default %(default)s)",
    )
    add("--backends", nargs="+", choices=LIBRARIES, help="which; default all that are here")
    caches = ("exact", "prefix")
    add("--caches", nargs="+", choices=caches, default=caches, help="which; default both")
    add(
        "--regions",
        nargs="+",
        type=whole_number(1, 64),
        metavar="N",
        help="regions in a call (default 1 2 3 4 5 6 12)",
    )
    add(
        "--tiles",
        nargs="+",
        type=whole_number(1, 65),
        metavar="T",
        help="tiles that the image is cut into (default 1 3 7, where the checkpoint does that)",
    )
    add(
        "--repetitions",
        type=whole_number(1, 1000),
        metavar="R",
        help="of each measurement, after one to warm up (default 3)",
    )
    add(
        "--steps",
        type=whole_number(1, MOST_STEPS),
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
    usual = ([1, 6], 1, 8) if options.quick else ([1, 2, 3, 4, 5, 6, 12], 3, None)
    options.like = options.like or "small"
    options.regions = options.regions or usual[0]
    options.repetitions = options.repetitions or usual[1]
    options.steps = options.steps or usual[2]
    for name in ("backends", "caches", "regions", "tiles"):  # each value once
        values = getattr(options, name)
        setattr(options, name, None if values is None else tuple(dict.fromkeys(values)))
    return options


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status: 2 if anything asked for was not measured."""
    options = parse(arguments)
    # Every process that measures imports this file, and no more than it has to.
    from perceptiondlm_ros.development.benchmark.benchmark_report import report_text, write_report
    from perceptiondlm_ros.development.benchmark.measuring import Benchmark
    from perceptiondlm_ros.errors import PerceptionDLMError

    try:
        options.output.mkdir(parents=True, exist_ok=True)
        benchmark = Benchmark(options)
        interrupted = False
        try:
            benchmark.run()
        except KeyboardInterrupt:
            interrupted = True  # what was measured until then is worth keeping
        print(report_text(benchmark.results))
        print("\n".join(str(file) for file in write_report(benchmark.results, options.output)))
    except (PerceptionDLMError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    if interrupted:
        return INTERRUPTED
    return FAILED if any(subject.failure for subject in benchmark.results.subjects) else 0


if __name__ == "__main__":
    sys.exit(main())
