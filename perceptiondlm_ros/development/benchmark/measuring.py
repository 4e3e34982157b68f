"""Measures cases on subjects, each of which is a model in a process of its own.

Repetitions take turns, case by case and subject by subject, so that a machine that gets slower for
a while doesn't favour one of them.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path
from statistics import median
from typing import Any

from perceptiondlm_ros.development.benchmark.measured_process import (
    MeasuredProcess,
    busy_neighbours,
)
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.terminal import Progress


@dataclass(frozen=True)
class Case:
    """What one measurement is of.

    Attributes:
        name: in words.
        size: width and height of the image in pixels.
        regions: boxes in one call; masks instead where `masks` is set.
        do: `describe`, `prepare`, or `first`, which is the first description of a process that is
            started for it and loads the model.
        busy: processes that keep a core busy meanwhile.
    """

    name: str
    size: tuple[int, int]
    regions: int
    do: str = "describe"
    masks: bool = False
    busy: int = 0


@dataclass
class Subject:
    """A model in a process, and what was measured of it.

    Attributes:
        load: arguments of `worker.Worker.load`.
        python: the interpreter whose package is measured.
        description: what the backend says of itself.
        loading_seconds: from nothing to a model that runs, libraries included.
        memory: most bytes of the process over all cases, `host` and `device`.
        failure: why it could not be measured, or not to the end; empty otherwise.
        answers: of each case the repetitions, see `worker.Worker`.
    """

    name: str
    load: dict[str, Any]
    python: Path | str = sys.executable
    description: str = ""
    loading_seconds: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    answers: dict[Case, list[dict[str, Any]]] = field(default_factory=dict)

    def values(self, case: Case, value: str = "total") -> list[float]:
        """Of the repetitions of a case, none where it was not measured."""
        return [answer[value] for answer in self.answers.get(case, ())]

    def start(self, log: Path) -> MeasuredProcess:
        """A process that has loaded the model.

        Raises:
            PerceptionDLMError: it could not; the message is the backend's own.
        """
        with ExitStack() as stack:
            process = stack.enter_context(MeasuredProcess(self.name, log, self.python))
            loaded = process.ask("load", **self.load)
            self.description, self.loading_seconds = loaded["description"], loaded["seconds"]
            stack.pop_all()
            return process


def take_turns(
    subjects: Sequence[Subject],
    cases: Sequence[Case],
    repetitions: int,
    logs: Path,
    progress: Progress,
    *,
    few_steps: bool = False,
) -> None:
    """Measure each case on each subject; what fails is noted there, and the others go on.

    Args:
        repetitions: of each case, after one to warm up.
        logs: folder of the processes' logs.
        few_steps: whether few denoising steps warm up, which is enough without a GPU.
    """
    with ExitStack() as stack:
        processes: dict[str, MeasuredProcess] = {}

        def ask(subject: Subject, case: Case, warm_up: bool) -> Any:
            log = logs / f"{re.sub(r'[^0-9a-z]+', '-', subject.name)}.log"
            request: dict[str, Any] = {"regions": case.regions, "masks": case.masks}
            request["width"], request["height"] = case.size
            if case.do == "first":
                began = time.perf_counter()
                with subject.start(log) as process:
                    answer = process.ask("describe", **request)
                return answer | {"total": time.perf_counter() - began}
            if subject.name not in processes:
                progress.now(f"loading {subject.name}, see {log}")
                processes[subject.name] = stack.enter_context(subject.start(log))
            if case.do == "describe":
                request["few_steps"] = few_steps and warm_up
            return processes[subject.name].ask(case.do, **request)

        for repetition, (busy, together) in product(
            range(1 + repetitions),
            [(busy, list(group)) for busy, group in groupby(cases, key=lambda case: case.busy)],
        ):
            with busy_neighbours(busy, logs / "neighbours.log"):
                for case, subject in product(together, subjects):
                    progress.now(f"{subject.name}, {case.name}")
                    progress.advance()
                    if subject.failure:
                        continue
                    try:
                        answer = ask(subject, case, warm_up=repetition == 0)
                    except PerceptionDLMError as error:
                        subject.failure = str(error)
                        continue
                    subject.memory |= answer.get("memory", {})
                    if repetition:
                        subject.answers.setdefault(case, []).append(answer)


def quotient(values: Sequence[float], of: Sequence[float]) -> float | None:
    """Of the medians; None where one of them was not measured."""
    return median(values) / median(of) if values and of else None
