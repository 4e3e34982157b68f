"""Rates and quantiles of the recent past, for diagnostics. Nothing here knows ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np


class Rates:
    """How fast counts grow, and when each last grew, from looks at them now and then.

    Counting stays where it happens; whoever wants to know rates looks, so no callback pays for it.
    """

    def __init__(self, span: float = 10.0) -> None:
        """span: seconds over which a rate is averaged."""
        self._span = span
        self._looks: deque[tuple[float, dict[str, int]]] = deque()
        self._grew: dict[str, float] = {}

    def look(self, now: float, counts: Mapping[str, int]) -> None:
        """now: a monotonic clock, in seconds."""
        before = self._looks[-1][1] if self._looks else {}
        for name, count in counts.items():
            if name in before and count > before[name]:
                self._grew[name] = now
        self._looks.append((now, dict(counts)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= self._span:
            self._looks.popleft()

    def forget(self) -> None:
        """Begin anew: only what grows after the last look counts from now on."""
        while len(self._looks) > 1:
            self._looks.popleft()
        self._grew.clear()

    def grown(self, name: str) -> int:
        """What was added within the span."""
        if not self._looks:
            return 0
        return self._looks[-1][1].get(name, 0) - self._looks[0][1].get(name, 0)

    def rate(self, name: str) -> float:
        """Per second; 0 before the second look."""
        seconds = self._looks[-1][0] - self._looks[0][0] if self._looks else 0.0
        return self.grown(name) / seconds if seconds > 0 else 0.0

    def age(self, name: str) -> float | None:
        """Seconds from the look that saw it grow to the last look; None if it never grew."""
        if name not in self._grew:
            return None
        return self._looks[-1][0] - self._grew[name]


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of them lie; None if there are none."""
    return float(np.quantile(values, share)) if values else None
