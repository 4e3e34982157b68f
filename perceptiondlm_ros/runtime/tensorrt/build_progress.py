"""Progress of a build, with the time it has taken: a silent build looks like a hang."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_LOG = logging.getLogger(__name__)
_TICK = 1.0
"""Seconds between two reports while nothing else happens."""


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


OnProgress = Callable[[BuildProgress], None]
"""Called from several threads; may raise to have the build given up."""


class BuildClock:
    """What a build is doing and for how long; reports it whenever that changes and every second.

    Args:
        report: None reports to nobody.
    """

    def __init__(self, graph: str, report: OnProgress | None) -> None:
        self._graph, self._report = graph, report
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._phase: tuple[str, float | None] = ("starting", None)
        self.failure: BaseException | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def enter(self, phase: str, fraction: float | None = None) -> bool:
        """Say what is done now; False when the build is to be given up."""
        with self._lock:
            self._phase = (phase, fraction)
        return self.tell()

    def tell(self) -> bool:
        """OnProgress once; False when the build is to be given up."""
        if self.failure is not None:
            return False
        if self._report is None:
            return True
        with self._lock:
            phase, fraction = self._phase
        with self.guarding():
            self._report(BuildProgress(self._graph, phase, self.seconds, fraction))
        return self.failure is None

    def check(self) -> None:
        """Raise what the report raised."""
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Keep what is raised for `check`: in a call from TensorRT it would end the process."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 (Ctrl-C as well)
            self.failure = error

    @contextmanager
    def ticking(self, every: float = _TICK) -> Iterator[None]:
        """OnProgress regularly from a thread, also during phases in which TensorRT says nothing."""
        done = threading.Event()

        def tick() -> None:
            while not done.wait(every):
                self.tell()

        thread = threading.Thread(target=tick, name="engine-build-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def log_progress(every: float = 10.0) -> OnProgress:
    """A report that logs at most one line in `every` seconds."""
    last = [-every]

    def report(progress: BuildProgress) -> None:
        if progress.seconds - last[0] >= every:
            last[0] = progress.seconds
            _LOG.info("%s", progress)

    return report


def progress_monitor(trt: Any, clock: BuildClock) -> Any:
    """What TensorRT reports its phases to; None in a version without that.

    Args:
        trt: the module `tensorrt`.
    """
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with clock.guarding():
                self._steps[phase_name] = num_steps
                clock.enter(phase_name, 0.0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with clock.guarding():
                steps = max(1, self._steps.get(phase_name, 1))
                clock.enter(phase_name, min(1.0, (step + 1) / steps))
            return clock.failure is None

        def phase_finish(self, phase_name: str) -> None:
            with clock.guarding():
                self._steps.pop(phase_name, None)

    return Monitor()
