"""A process that measures one backend with one cache mode, so that peaks of memory don't mix."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark.machine import peak_memory, wait_for_device
from perceptiondlm_ros.development.benchmark.scenario import Scenario, noise_image, random_boxes
from perceptiondlm_ros.development.benchmark.stage_times import StageTimes, TimedBackend
from perceptiondlm_ros.errors import BackendError, PerceptionDLMError
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.loading import load_backend

_FEW_STEPS = 2
"""The first step and one of the others: all kernels have run once, all memory is there."""

_END_SECONDS = 20.0


@dataclass(frozen=True)
class Task:
    """What a worker loads.

    Attributes:
        folder: a checkpoint or an exported model.
        steps: denoising steps.
    """

    folder: Path
    backend: str
    cache: str
    device: str
    steps: int


@dataclass(frozen=True)
class TimedCall:
    """What one call took.

    Attributes:
        milliseconds: by stage.
        positions: length of the sequence of a group.
        groups: groups of regions that ran as one batch.
        tokens: caption tokens.
        digest: of the caption tokens.
        memory: most bytes of the process so far, `host` and `device`.
    """

    milliseconds: dict[str, float]
    positions: int
    groups: int
    tokens: int
    digest: str
    memory: dict[str, int]


class LoadedModel:
    """A model that is measured in this process."""

    def __init__(self, task: Task) -> None:
        began = time.perf_counter()
        backend = load_backend(task.folder, task.backend, task.device)
        self._backend = TimedBackend(backend, wait_for_device)
        self.description = self._backend.description
        tokenizer = CaptionTokenizer(task.folder, self._backend.config.slots)
        self._all_steps, self._few_steps = (
            Captioner(
                self._backend, tokenizer, name=task.folder.name, steps=count, cache=task.cache
            )
            for count in (task.steps, min(task.steps, _FEW_STEPS))
        )
        self.loading_seconds = time.perf_counter() - began

    def measure(self, scenario: Scenario, few_steps: bool = False) -> TimedCall:
        """Caption once."""
        image = noise_image(scenario.tiles, self._backend.config)
        regions = random_boxes(scenario.regions, image)
        captioner = self._few_steps if few_steps else self._all_steps
        times = self._backend.times = StageTimes()
        captions = captioner.describe(image, regions)
        times.end("decoding")
        tokens = np.array([caption.token_ids for caption in captions], dtype=np.int64)
        return TimedCall(
            milliseconds=times.milliseconds(),
            positions=times.positions,
            groups=times.groups,
            tokens=tokens.size,
            digest=f"{crc32(tokens.tobytes()):08x}",
            memory=peak_memory(),
        )


def _serve(connection: Connection, task: Task, log: Path) -> None:
    """Load, then answer each request with a measurement, an error with its message."""
    with log.open("w") as output:  # libraries print what they like
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        model = LoadedModel(task)
        connection.send((model.description, model.loading_seconds))
        with suppress(EOFError):  # nobody asks for more
            while True:
                connection.send(model.measure(*connection.recv()))
    except PerceptionDLMError as error:
        connection.send(error)


class WorkerProcess:
    """A process that has loaded one backend. Use it with `with`.

    Args:
        log: file for what the process and its libraries print.

    Attributes:
        description: what the backend says of itself.
        loading_seconds: from nothing to a model that runs.

    Raises:
        PerceptionDLMError: the backend can't be loaded; the message is the backend's own.
    """

    def __init__(self, task: Task, log: Path) -> None:
        self._name, self._log = f"{task.backend} {task.cache}", log
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, task, log), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.description, self.loading_seconds = self._answer()
        except BaseException:
            self.close()
            raise

    def measure(self, scenario: Scenario, *, few_steps: bool = False) -> TimedCall:
        """Caption once, with all steps or few.

        Raises:
            PerceptionDLMError: the backend failed, or its process ended.
        """
        with suppress(BrokenPipeError):  # then the answer says why
            self._connection.send((scenario, few_steps))
        measured: TimedCall = self._answer()
        return measured

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_END_SECONDS)
        self._process.kill()
        self._process.join()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise BackendError(self._why_it_ended()) from error
        if isinstance(answer, PerceptionDLMError):
            raise answer
        return answer

    def _why_it_ended(self) -> str:
        self._process.join()
        status = self._process.exitcode
        if status == -signal.SIGKILL:
            return (
                f"the process that ran {self._name} was killed, which mostly is for lack of "
                "memory; expected an answer, use a smaller checkpoint"
            )
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return (
            f"the process that ran {self._name} ended with status {status}, expected an answer; "
            f"its last line was {lines[-1] if lines else ''!r}, more is in {self._log}"
        )
