"""Log lines that say what is wrong without flooding the log at the camera's rate."""

import time
from collections.abc import Callable


class Throttle:
    """Passes one line a `period` seconds for each cause, and tells how many were held back."""

    def __init__(
        self,
        write: Callable[[str], object],
        period: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._period = period
        self._now = now
        self._causes: dict[str, tuple[float, int]] = {}  # cause → last written, held back since

    def __call__(self, cause: str, line: str) -> None:
        """Write `line`, unless one of this `cause` (a fixed word) was written just before."""
        now = self._now()
        written, held = self._causes.get(cause, (None, 0))
        if written is not None and now - written < self._period:
            self._causes[cause] = (written, held + 1)
            return
        self._causes[cause] = (now, 0)
        self._write(f"{line} ({held} more like it before)" if held else line)
