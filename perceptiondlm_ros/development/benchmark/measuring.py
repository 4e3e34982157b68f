"""Measures scenarios on every backend with every cache mode, each in a process of its own.

Repetitions take turns, scenario by scenario and backend by backend, so that a machine that gets
slower for a while doesn't favour one of them.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from datetime import datetime, timezone
from itertools import product
from pathlib import Path

from perceptiondlm_ros.development.benchmark.benchmark_report import Results, Subject
from perceptiondlm_ros.development.benchmark.machine import describe_machine, library_versions
from perceptiondlm_ros.development.benchmark.measuring_process import Task, WorkerProcess
from perceptiondlm_ros.development.benchmark.models import (
    choose_backends,
    find_checkpoint,
    find_models,
)
from perceptiondlm_ros.development.benchmark.scenario import Scenario, choose_tiles
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.terminal import Progress

_SHARE_OF_MEMORY = 0.3
"""Of the machine's memory, for the weights of all processes that are there at once."""


class Benchmark:
    """One run of the benchmark, with the options that `run_benchmark.parse` returns.

    Raises:
        PerceptionDLMError: what was asked for isn't here, or can't be made.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        choose_backends(options.backends)  # before anything large is made
        model = find_checkpoint(options.checkpoint, options.like, options.output)
        config = ModelConfig.from_folder(model)
        self._options = options
        self._scenarios = [
            Scenario(tiles, regions)
            for tiles, regions in product(choose_tiles(options.tiles, config), options.regions)
        ]
        self._models = find_models(
            model,
            options.backends,
            precision=options.precision,
            output=options.output,
            tell=lambda line: print(line, file=sys.stderr),
        )
        self.results = Results(
            settings={
                "checkpoint": model.name,
                "weights_bytes": _weight_bytes(model),
                "precision_of_export": options.precision,
                "steps": options.steps or config.denoising_steps,
                "caption_tokens": config.caption_tokens,
                "repetitions": options.repetitions,
                "device": options.device,
            },
            machine=describe_machine(),
            versions=library_versions(),
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            subjects=[Subject(name, cache) for name in self._models for cache in options.caches],
        )

    def run(self) -> None:
        """Fill the results; what fails is noted there and the others go on."""
        subjects = self.results.subjects
        turns = [subjects] if self._all_fit() else [[subject] for subject in subjects]
        repetitions = 1 + self._options.repetitions
        calls = len(subjects) * len(self._scenarios) * repetitions
        with Progress("measuring", calls, "calls") as progress:
            for together in turns:
                with ExitStack() as processes:
                    self._measure_in_turn(together, processes, progress)

    def _measure_in_turn(
        self, subjects: list[Subject], processes: ExitStack, progress: Progress
    ) -> None:
        workers: dict[str, WorkerProcess] = {}
        for subject in subjects:
            progress.now(f"loading {subject.name}, see {self._log(subject)}")
            try:
                worker = processes.enter_context(self._start(subject))
                workers[subject.name] = worker
                subject.description = worker.description
                subject.loading_seconds = worker.loading_seconds
            except PerceptionDLMError as error:
                subject.failure = str(error)
        repetitions = range(1 + self._options.repetitions)
        for repetition, scenario, subject in product(repetitions, self._scenarios, subjects):
            progress.now(f"{subject.name}, {scenario.tiles} tiles, {scenario.regions} regions")
            progress.advance()
            if subject.failure:
                continue
            warm_up = repetition == 0
            try:
                measured = workers[subject.name].measure(
                    scenario, few_steps=warm_up and not self._on_gpu()
                )
            except PerceptionDLMError as error:
                subject.failure = str(error)
                continue
            subject.memory |= measured.memory
            if not warm_up:
                subject.calls.setdefault(scenario, []).append(measured)

    def _start(self, subject: Subject) -> WorkerProcess:
        task = Task(
            folder=self._models[subject.backend],
            backend=subject.backend,
            cache=subject.cache,
            device=self._options.device,
            steps=self.results.settings["steps"],
        )
        return WorkerProcess(task, self._log(subject))

    def _log(self, subject: Subject) -> Path:
        output: Path = self._options.output
        return output / f"{subject.backend}-{subject.cache}.log"

    def _all_fit(self) -> bool:
        """Whether all processes may hold the model at once. On a GPU they may not: its memory is
        told as a whole.
        """
        needed = self.results.settings["weights_bytes"] * len(self.results.subjects)
        fits: bool = needed <= _SHARE_OF_MEMORY * self.results.machine["memory_bytes"]
        return fits and not self._on_gpu()

    def _on_gpu(self) -> bool:
        """Whether a GPU may be used; without one, few steps are enough to warm up."""
        return bool(self.results.machine["gpus"]) and self._options.device != "cpu"


def _weight_bytes(model: Path) -> int:
    """Bytes of the weights in a checkpoint's or an exported model's files."""
    endings = (".safetensors", ".onnx", ".data")
    return sum(file.stat().st_size for file in model.iterdir() if file.suffix in endings)
