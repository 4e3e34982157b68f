"""Processes that measure and processes that compute, all of which end when this one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from perceptiondlm_ros.errors import BackendError

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class MeasuredProcess:
    """A process that runs `worker.py`. Use it with `with`.

    Args:
        name: what it runs, for messages.
        log: file for what it and its libraries print; several may share one.
        python: the interpreter whose package is measured.
        environment: variables besides those of this process.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        python: Path | str = sys.executable,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._name, self._log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(python), str(Path(__file__).with_name("worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                env=os.environ | (environment or {}),
                start_new_session=True,  # an interrupt from the keyboard is for this process
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def ask(self, do: str, **request: Any) -> Any:
        """What a method of `worker.Worker` returns.

        Raises:
            BackendError: the model failed, with its own words, or the process ended.
        """
        with suppress(BrokenPipeError):  # then the answer says why
            print(json.dumps({"do": do, **request}), file=self._requests, flush=True)
        line = self._answers.readline()
        if not line:
            raise BackendError(self._why_it_ended())
        answer = json.loads(line)
        if answer and "failure" in answer:
            raise BackendError(answer["failure"])
        return answer

    def __enter__(self) -> MeasuredProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # it has nothing to save
        with suppress(BrokenPipeError):
            self._process.__exit__(None, None, None)

    def _why_it_ended(self) -> str:
        status = self._process.wait()
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


@contextmanager
def busy_neighbours(count: int, log: Path) -> Iterator[None]:
    """So many processes, each of which keeps a core busy until the block ends."""
    with ExitStack() as processes:
        for _ in range(count):
            neighbour = MeasuredProcess("a busy neighbour", log, environment=_ONE_THREAD)
            processes.enter_context(neighbour).ask("compute")
        yield
