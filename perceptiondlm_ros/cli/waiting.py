"""A line on the terminal that shows that a slow step goes on."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

_PATIENCE = 2.0  # seconds without a sign of life that nobody minds
_INTERVAL = 0.2
_FRAMES = "|/-\\"
_CLEAR = "\r\x1b[K"


class Waiting:
    """Shows `what` and the seconds on stderr until the block ends, if that takes long.

    Nothing is written where stderr is not a terminal. The line is gone afterwards.

    Args:
        patience: seconds before the first line.
    """

    def __init__(self, what: str, patience: float = _PATIENCE) -> None:
        self._what, self._patience = what, patience
        self._stream = sys.stderr
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Waiting:
        if self._stream.isatty():
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def now(self, what: str) -> None:
        """Show another text from here on; the seconds go on."""
        self._what = what

    def _show(self) -> None:
        start = time.monotonic()
        if self._done.wait(self._patience):
            return
        frame = 0
        while not self._done.is_set():
            seconds = time.monotonic() - start
            line = f"{_FRAMES[frame % len(_FRAMES)]} {self._what}, {seconds:.0f} s"
            self._stream.write(_CLEAR + line)
            self._stream.flush()
            frame += 1
            self._done.wait(_INTERVAL)
        self._stream.write(_CLEAR)
        self._stream.flush()
