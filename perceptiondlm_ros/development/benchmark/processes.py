"""Worker processes, seen from the process that measures with them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from perceptiondlm_ros.development.benchmark.results import Subject
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.errors import BackendError

_END_SECONDS = 20.0


class WorkerProcess:
    """A process that has loaded one backend, see `benchmark.worker`. Closes at the end of a `with`.

    Args:
        folder: a checkpoint or an exported model.
        log: file for what the process and its libraries print.

    Raises:
        BackendError: the backend can't be loaded; the message is the backend's own.
    """

    def __init__(self, subject: Subject, folder: Path, device: str, steps: int, log: Path) -> None:
        self._subject, self._log = subject, log
        command = [sys.executable, "-m", "perceptiondlm_ros.development.benchmark.worker"]
        command += [str(folder), subject.backend, subject.cache, device, str(steps)]
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
        try:
            loaded = self._answer()
        except BaseException:
            self.close()
            raise
        subject.description = loaded["description"]
        subject.loading_seconds = loaded["loading_seconds"]

    def measure(self, scenario: Scenario) -> dict[str, Any]:
        """One repetition, see `worker.Worker.measure`.

        Raises:
            BackendError: the backend failed, or its process ended.
        """
        return self._ask({**asdict(scenario), "few_steps": False})

    def warm_up(self, scenario: Scenario, *, few_steps: bool) -> None:
        """One repetition that doesn't count, with all its steps or few; errors as of `measure`."""
        self._ask({**asdict(scenario), "few_steps": few_steps})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # then the answer says why
            self._pipe(self._process.stdin).write(json.dumps(request) + "\n")
            self._pipe(self._process.stdin).flush()
        measured = self._answer()
        self._subject.memory = {**self._subject.memory, **measured["memory"]}
        return measured

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate(timeout=_END_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise BackendError(self._why_it_ended(self._process.wait()))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer

    def _why_it_ended(self, status: int) -> str:
        name = self._subject.name
        if status == -signal.SIGKILL:
            return (
                f"the process that ran {name} was killed, which mostly is for lack of memory; "
                "expected an answer, use a smaller checkpoint"
            )
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return (
            f"the process that ran {name} ended with status {status}, expected an answer; its "
            f"last line was {lines[-1] if lines else ''!r}, more is in {self._log}"
        )

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # all are made with PIPE
        return pipe
