"""How much slower captions come beside other programs that compute."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from statistics import median
from typing import Final

from perceptiondlm_ros.development.benchmark.benchmark_report import (
    BenchmarkPlan,
    Rows,
    short_number,
)
from perceptiondlm_ros.development.benchmark.measuring import Case, Subject, quotient
from perceptiondlm_ros.development.benchmark.models import (
    find_checkpoint,
    find_models,
)

BUSY: Final = (0, 1, 2)
"""Processes that compute beside the one that captions."""


def plan_neighbours(options: argparse.Namespace) -> BenchmarkPlan:
    """The packaged checkpoint, or the one that was asked for, through torch and ONNX Runtime,
    alone and beside busy processes.

    Raises:
        PerceptionDLMError: the checkpoint can't be found, or not be exported.
    """
    folder = find_checkpoint(options.checkpoint or "", "", options.output)
    models = find_models(folder, options.backends, options.precision, options.output)
    subjects = [
        Subject(name, {"model": str(model), "backend": name, "device": options.device})
        for name, model in models.items()
    ]
    cases = [Case(f"{busy} busy", (640, 480), 6, busy=busy) for busy in BUSY]
    return BenchmarkPlan(
        name="neighbours",
        title=f"{folder.name}, six boxes at 640x480",
        notes="Milliseconds of one call, median and longest of {repetitions}, beside so many "
        "processes that keep a core busy each.",
        groups=[(subjects, cases)],
        repetitions=options.repetitions,
        tables=lambda: [neighbour_rows(subjects, cases)],
    )


def neighbour_rows(subjects: Sequence[Subject], cases: Sequence[Case]) -> Rows:
    """A header and a row a subject and case; the first case is the one alone."""
    rows = [["backend", "busy processes", "median", "longest", "against alone"]]
    for subject, case in product(subjects, cases):
        times = [1e3 * seconds for seconds in subject.values(case)]
        slower = quotient(subject.values(case), of=subject.values(cases[0]))
        numbers = [short_number(value(times)) if times else "-" for value in (median, max)]
        rows.append(
            [subject.name, str(case.busy), *numbers, "-" if slower is None else f"{slower:.2f}"]
        )
    return rows
