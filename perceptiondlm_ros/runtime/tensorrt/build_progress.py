"""Progress of a build in the log, with the time it has taken: a silent build looks like a hang."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        graph: what is built.
        phase: what is done now, in TensorRT's words, or `waiting for another build`.
        seconds: since it started.
        fraction: of this phase, 0 to 1; None where that isn't known.
    """

    graph: str
    phase: str
    seconds: float
    fraction: float | None = None

    def __str__(self) -> str:
        share = "" if self.fraction is None else f", {self.fraction:.0%}"
        return f"building {self.graph} for {self.seconds:.0f} s ({self.phase}{share})"


class BuildClock:
    """Logs what a build is doing and for how long, now and then.

    Args:
        graph: what is built.
        every: seconds between two lines.
        tell: takes them; None logs them.
    """

    def __init__(
        self,
        graph: str,
        every: float = 10.0,
        tell: Callable[[BuildProgress], None] | None = None,
    ) -> None:
        self._graph, self._every = graph, every
        self._told_to = tell or (lambda progress: _LOG.info("%s", progress))
        self._start, self._told = time.monotonic(), -every
        self._phase: tuple[str, float | None] = ("starting", None)

    @property
    def seconds(self) -> float:
        """Since it started."""
        return time.monotonic() - self._start

    def enter(self, phase: str, fraction: float | None = None) -> None:
        """Say what is done now."""
        self._phase = (phase, fraction)
        self._tell()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Log from a thread as well, during phases in which TensorRT says nothing."""
        done = threading.Event()

        def tick() -> None:
            while not done.wait(self._every / 10):
                self._tell()

        thread = threading.Thread(target=tick, name="engine-build-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _tell(self) -> None:
        seconds = self.seconds
        if seconds - self._told >= self._every:
            self._told = seconds
            phase, fraction = self._phase
            self._told_to(BuildProgress(self._graph, phase, seconds, fraction))


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Gives a list that signals to end are noted in; they are raised when this is left.

    A handler that raises does so in whatever Python runs, as in a callback of TensorRT, which logs
    the exception and goes on.
    """
    noted: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                before[number] = signal.signal(number, lambda told, frame: noted.append(told))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


def progress_monitor(trt: Any, clock: BuildClock, noted: Sequence[int] = ()) -> Any:
    """What TensorRT reports its phases to. Its attribute `failure` is what was raised meanwhile,
    which ends the build: raised into TensorRT it would end the process.

    Args:
        trt: the module, see `products`.
        noted: ends the build when there is anything in it.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.failure: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = max(1, num_steps)
            self._enter(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._enter(phase_name, min(1.0, (step + 1) / self._steps.get(phase_name, 1)))
            return self.failure is None and not noted

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

        def _enter(self, phase: str, fraction: float) -> None:
            try:
                clock.enter(phase, fraction)
            except BaseException as error:  # noqa: BLE001 (Ctrl-C as well)
                self.failure = error

    return Monitor()
