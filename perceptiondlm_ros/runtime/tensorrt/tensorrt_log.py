"""Messages of TensorRT: to our log, and the errors into the exceptions that they explain."""

from __future__ import annotations

import logging
import re
from typing import Any

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError

_LOG = logging.getLogger("tensorrt")
_MOST = 3
"""Errors that an exception quotes."""

_OF_MEMORY = re.compile(r"out ?of ?memory|bad_alloc|alloc_failed|allocate memory", re.IGNORECASE)
"""In TensorRT's words; it gives no type or code for them."""


def make_log(trt: Any, *, quiet: bool = False) -> Any:
    """A logger for TensorRT with the attribute `errors`: a list of what went wrong, newest last.

    Args:
        trt: the module, see `products`.
        quiet: log nothing, for who tells errors from `reasons` alone.
    """
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
        trt.ILogger.Severity.WARNING: logging.WARNING,
        trt.ILogger.Severity.INFO: logging.DEBUG,  # what it calls news is of use to its developers
    }

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(severity, logging.NOTSET)
            if level == logging.ERROR:
                self.errors.append(msg)
            if level and not quiet:
                _LOG.log(level, "%s", msg)

    return Log()


def reasons(log: Any) -> str:
    """The newest errors as one text, and forget them."""
    found = "; ".join(log.errors[-_MOST:]) or "it gave no reason"
    log.errors.clear()
    return found


def failure(why: str, text: str) -> BackendError:
    """The exception that says `text`: one of too little memory, if `why` speaks of that.

    why: see `reasons`.
    """
    return (OutOfMemoryError if is_of_memory(why) else BackendError)(text)


def is_of_memory(why: str) -> bool:
    """Whether reasons speak of too little memory."""
    return _OF_MEMORY.search(why) is not None
