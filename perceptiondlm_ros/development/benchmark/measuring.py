"""Measures scenarios on every backend with every cache mode, each in a process of its own.

Repetitions take turns, scenario by scenario and backend by backend, so that a machine that gets
slower for a while doesn't favour one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from perceptiondlm_ros.development.benchmark import device
from perceptiondlm_ros.development.benchmark.models import (
    chosen_backends,
    find_checkpoint,
    find_models,
)
from perceptiondlm_ros.development.benchmark.options import Options
from perceptiondlm_ros.development.benchmark.processes import WorkerProcess
from perceptiondlm_ros.development.benchmark.results import (
    Results,
    Series,
    Subject,
)
from perceptiondlm_ros.development.benchmark.scenario import Scenario, image_size
from perceptiondlm_ros.errors import InputError, PerceptionDLMError
from perceptiondlm_ros.model.config import ModelConfig

_USUAL_TILES = (1, 3, 7)
_SHARE_OF_MEMORY = 0.3
"""Of the machine's memory, for the weights of all processes that are there at once."""


class Measuring:
    """One run of the benchmark.

    Raises:
        PerceptionDLMError: what was asked for isn't here, or can't be made.
    """

    def __init__(self, options: Options) -> None:
        backends = chosen_backends(options)
        model = find_checkpoint(options)
        config = ModelConfig.from_folder(model)
        self._options = options
        self._steps = options.steps or config.denoising_steps
        self._scenarios = [
            Scenario(tiles, regions)
            for tiles in chosen_tiles(options, config)
            for regions in options.regions
        ]
        self._folders = find_models(options, model, backends, tqdm.write)
        self.results = Results(
            settings={
                "checkpoint": model.name,
                "weights_bytes": _weight_bytes(model),
                "precision_of_export": options.precision,
                "steps": self._steps,
                "caption_tokens": config.caption_tokens,
                "repetitions": options.repetitions,
                "device": options.device,
            },
            machine=device.machine(),
            versions=device.versions(),
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            subjects=[Subject(name, cache) for name in self._folders for cache in options.caches],
        )

    def measure(self) -> None:
        """Fill the results; what fails is noted there and the others go on."""
        together = self._all_fit()
        rounds = [self.results.subjects] if together else [[s] for s in self.results.subjects]
        runs = len(self.results.subjects) * len(self._scenarios) * (1 + self._options.repetitions)
        with tqdm(total=runs, unit="call", leave=False) as bar:
            for subjects in rounds:
                with ExitStack() as processes:
                    self._measure_in_turn(subjects, processes, bar)

    def _measure_in_turn(self, subjects: list[Subject], processes: ExitStack, bar: tqdm) -> None:
        workers: dict[str, WorkerProcess] = {}
        series: dict[tuple[str, Scenario], Series] = {}
        for subject in subjects:
            bar.set_description(f"loading {subject.name}, see {self._log(subject)}")
            try:
                workers[subject.name] = processes.enter_context(self._start(subject))
            except PerceptionDLMError as error:
                subject.failure = str(error)
            for scenario in self._scenarios:
                one = Series(subject.backend, subject.cache, scenario)
                series[subject.name, scenario] = one
                self.results.series.append(one)
        for repetition, scenario, subject in self._turns(subjects):
            bar.update()
            if subject.failure:
                continue
            bar.set_description(
                f"{subject.name}, {scenario.tiles} tiles, {scenario.regions} regions"
            )
            try:
                if repetition == 0:
                    workers[subject.name].warm_up(scenario, few_steps=not self._on_gpu())
                else:
                    series[subject.name, scenario].add(workers[subject.name].measure(scenario))
            except PerceptionDLMError as error:
                subject.failure = str(error)

    def _turns(self, subjects: list[Subject]) -> Iterator[tuple[int, Scenario, Subject]]:
        for repetition in range(1 + self._options.repetitions):
            for scenario in self._scenarios:
                for subject in subjects:
                    yield repetition, scenario, subject

    def _start(self, subject: Subject) -> WorkerProcess:
        folder, log = self._folders[subject.backend], self._log(subject)
        return WorkerProcess(subject, folder, self._options.device, self._steps, log)

    def _log(self, subject: Subject) -> Path:
        return self._options.output / f"{subject.backend}-{subject.cache}.log"

    def _all_fit(self) -> bool:
        """Whether all processes may hold the model at once. On a GPU they may not: its memory is
        told as a whole.
        """
        needed = self.results.settings["weights_bytes"] * len(self.results.subjects)
        machine = self.results.machine
        fits: bool = needed <= _SHARE_OF_MEMORY * machine["memory_bytes"]
        return fits and not self._on_gpu()

    def _on_gpu(self) -> bool:
        """Whether a GPU may be used; without one, few steps are enough to warm up."""
        return bool(self.results.machine["gpus"]) and self._options.device != "cpu"


def chosen_tiles(options: Options, config: ModelConfig) -> tuple[int, ...]:
    """Those that were asked for, or the usual ones that the checkpoint cuts images into.

    Raises:
        InputError: the checkpoint cuts no image into a number that was asked for.
    """
    for tiles in options.tiles or ():
        image_size(tiles, config)
    return options.tiles or tuple(_possible(_USUAL_TILES, config))


def _possible(counts: Sequence[int], config: ModelConfig) -> Iterator[int]:
    for tiles in counts:
        try:
            image_size(tiles, config)
        except InputError:
            continue
        yield tiles


def _weight_bytes(model: Path) -> int:
    """Bytes of the weights in a checkpoint's or an exported model's files."""
    endings = (".safetensors", ".onnx", ".data")
    return sum(file.stat().st_size for file in model.iterdir() if file.suffix in endings)
