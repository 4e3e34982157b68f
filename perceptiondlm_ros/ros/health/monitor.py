"""Where everything that happens in the node is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from perceptiondlm_ros.ros.health.counters import Counters
from perceptiondlm_ros.ros.health.status import Status
from perceptiondlm_ros.ros.health.throttle import Throttle


@dataclass(frozen=True)
class Monitor:
    """Counts, the node's state, and the log."""

    counters: Counters
    status: Status
    warn: Throttle
    # Workers count in turn, and one that did not end in time counts beside its successor.
    lock: Lock = field(default_factory=Lock)

    def count(self, **more: int) -> None:
        """Add to counters, by their names, from a worker."""
        with self.lock:
            for name, number in more.items():
                setattr(self.counters, name, getattr(self.counters, name) + number)

    def count_dropped(self, reasons: Mapping[str, int]) -> None:
        """Add regions that get no caption, by the reason."""
        with self.lock:
            self.counters.regions_dropped += sum(reasons.values())
            self.counters.tell_drops(reasons)

    def count_low_bits(self, bits: int) -> None:
        """Add an image of 16 bits that uses so many of the lowest ones alone."""
        with self.lock:
            self.counters.images_of_low_bits += 1
            self.counters.low_bits = bits

    def failed(self, cause: str, line: str) -> None:
        """Tell and remember an error."""
        with self.lock:
            self.counters.last_error = line
        self.warn(cause, line)
