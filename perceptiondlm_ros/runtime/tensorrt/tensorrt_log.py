"""The module `tensorrt`, and its messages: to our log, and the errors into the exceptions that they
explain."""

from __future__ import annotations

import logging
from typing import Any

from perceptiondlm_ros.errors import BackendError

_LOG = logging.getLogger("tensorrt")
_MOST = 3
"""Errors that an exception quotes."""


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
