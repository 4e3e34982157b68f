"""What the package's own modules log while a model is loaded, passed on to the log of ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from perceptiondlm_ros.ros.health.faults import Level
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.text import one_line

_PACKAGE = "perceptiondlm_ros"
_TENSORRT = "perceptiondlm_ros.runtime.tensorrt"
_ENGINES = (f"{_TENSORRT}.build", f"{_TENSORRT}.engine_")
"""How the names begin of those that find and build engines; what runs them is not among them."""
_BUILDING = f"{_TENSORRT}.build_progress"
"""Who logs under this name builds an engine just now, which takes minutes."""


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
