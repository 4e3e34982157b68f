"""Child processes with a log each, all of which end when the parent does, however it does."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

_GRACE_S: Final = 30.0
"""What all children together get to end by themselves before they are killed. On a busy machine it
takes seconds, and a recorder that is killed leaves no bag that can be read."""


class Processes:
    """Starts Python modules and stops them again. Use it with `with`."""

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        """logs: folder of the log files, NAME.log each."""
        self._logs = logs
        self._environment = environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ends: queue.Queue[tuple[str, int]] = queue.Queue()

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def start(self, name: str, module: str, *arguments: str, speaks: bool = False) -> None:
        """speaks: its standard output is the parent's; else it goes to the log with its errors."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "perceptiondlm_ros.development.demo.tied",
                    module,
                    *arguments,
                ],
                env=self._environment,
                stdin=subprocess.PIPE,  # see `tied`
                stdout=None if speaks else log,
                stderr=log,
                # An interrupt from the keyboard is for the parent, which ends all in good order.
                start_new_session=True,
            )
        self._running[name] = process
        threading.Thread(target=self._watch, args=(name, process), daemon=True).start()

    def wait_for_end(self, timeout: float) -> tuple[str, int] | None:
        """Name and status of the first process to end; None if none does within `timeout` s."""
        with contextlib.suppress(queue.Empty):
            return self._ends.get(timeout=timeout)
        return None

    def stop(self) -> None:
        """Ask all to end, kill those that don't, and return when none is left."""
        try:
            for process in self._running.values():
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + _GRACE_S
            for process in self._running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:  # also when told to hurry up meanwhile
            for process in self._running.values():
                process.kill()
                process.wait()

    def _watch(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._ends.put((name, process.wait()))

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
