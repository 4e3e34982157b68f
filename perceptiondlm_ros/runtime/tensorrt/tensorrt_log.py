"""The module `tensorrt`, and its messages: to our log, and the errors into the exceptions that they
explain."""

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


def import_tensorrt() -> Any:
    """The module `tensorrt`.

    Raises:
        BackendError: it can't be imported; the message says how to get it.
    """
    try:
        import tensorrt
    except ImportError as error:
        raise BackendError(
            "the TensorRT backend needs the Python package tensorrt, which can't be imported "
            f"({error}); JetPack brings it as python3-libnvinfer (a virtual environment sees it "
            "with --system-site-packages), elsewhere run `pip install tensorrt`"
        ) from error
    return tensorrt


def make_log(trt: Any) -> Any:
    """A logger for TensorRT with the attribute `errors`: a list of what went wrong, newest last.

    Args:
        trt: the module `tensorrt`.
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
            if level:
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
    return (OutOfMemoryError if _OF_MEMORY.search(why) else BackendError)(text)
