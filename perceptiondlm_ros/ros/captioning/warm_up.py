"""From settings to a captioner that is ready for its first frame, and what is logged on the way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.ros.health.faults import Level
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.health.status import Activity, Status
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Captioner


_PACKAGE = "perceptiondlm_ros"
_TENSORRT = "perceptiondlm_ros.runtime.tensorrt"
_ENGINES = (f"{_TENSORRT}.build", f"{_TENSORRT}.engine_")
"""How the names begin of those that find and build engines; what runs them is not among them."""
_BUILDING = f"{_TENSORRT}.build_progress"
"""Who logs under this name builds an engine just now, which takes minutes."""


def load_captioner(settings: Settings) -> Captioner:
    """Load a Captioner; imported only here, so that a missing package is a failed `configure`."""
    try:
        from perceptiondlm_ros.captioner import Captioner
    except ImportError as error:
        raise BackendError(
            f"{error} in {sys.executable}, which runs this node; install it there"
        ) from error
    return Captioner.load(
        settings.checkpoint or None,
        backend=settings.backend,
        device=settings.device,
        steps=settings.steps or None,
        caption_tokens=settings.caption_tokens or None,
        cache=settings.cache,
        decoding=settings.decoding,
        decoding_threshold=settings.decoding_threshold or None,
        threads=settings.threads,
        precision=settings.precision,
    )


def load_and_warm_up(
    load: Callable[[Settings], Captioner], settings: Settings, status: Status
) -> Captioner:
    """A captioner whose first pass is behind it, with its allocations and choices of kernels."""
    status.enter(Activity.LOADING, settings.checkpoint or "the packaged checkpoint")
    captioner = load(settings)
    status.enter(Activity.WARMING_UP, captioner.name)
    try:
        grey = np.full((480, 640, 3), 127, np.uint8)
        captioner.describe(grey, [(160.0, 120.0, 480.0, 360.0)], settings.prompt or None)
    except BaseException:
        captioner.close()
        raise
    return captioner


@contextmanager
def library_log(monitor: Monitor) -> Iterator[None]:
    """Within it nothing that the package logs is lost, and a build shows as the node's activity."""
    package, handler = logging.getLogger(_PACKAGE), _Handler(monitor)
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(before)
        package.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, monitor: Monitor) -> None:
        super().__init__(logging.INFO)
        self._monitor = monitor

    def emit(self, record: logging.LogRecord) -> None:
        level = Level.OK
        if record.levelno >= logging.WARNING:
            level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARN
        self._monitor.tell(level, one_line(record.getMessage()))
        if record.name == _BUILDING:
            self._monitor.status.enter(Activity.BUILDING, _graph(record))
        elif record.name.startswith(_ENGINES):  # a build is about to begin, or has ended
            self._monitor.status.enter(Activity.LOADING)


def _graph(record: logging.LogRecord) -> str:
    """What is built, where the record tells."""
    told = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return str(getattr(told, "graph", ""))
