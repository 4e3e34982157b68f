"""What the package's own modules log while a model is loaded, passed on to the log of ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from perceptiondlm_ros.ros.health.status import Activity, Status
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger

_PACKAGE = "perceptiondlm_ros"
_ENGINES = "perceptiondlm_ros.runtime.tensorrt"
_BUILDING = f"{_ENGINES}.build_progress"
"""Who logs under this name builds an engine just now, which takes minutes."""


@contextmanager
def library_log(logger: RcutilsLogger, status: Status) -> Iterator[None]:
    """Within it nothing that the package logs is lost, and a build shows as the node's activity."""
    package, handler = logging.getLogger(_PACKAGE), _Handler(logger, status)
    before = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(before)
        package.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, logger: RcutilsLogger, status: Status) -> None:
        super().__init__(logging.INFO)
        self._logger = logger
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        line = one_line(record.getMessage())
        # rclpy refuses one severity after another from the same line of code.
        if record.levelno >= logging.ERROR:
            self._logger.error(line)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(line)
        else:
            self._logger.info(line)
        if record.name == _BUILDING:
            self._status.enter(Activity.BUILDING, _graph(record))
        elif record.name.startswith(_ENGINES):  # a build is about to begin, or has ended
            self._status.enter(Activity.LOADING)


def _graph(record: logging.LogRecord) -> str:
    """What is built, where the record tells."""
    told = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return str(getattr(told, "graph", ""))
