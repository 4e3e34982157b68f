"""What the node under load did and when, written as it happens: kept in memory it would look like a
leak of the node."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

SETTLING_S: Final = 2.0
"""Left out at the start: the first frames meet a node that still finds its publishers."""

EventKind = Literal["callback", "handed", "started", "ready", "published"]
"""A callback ended; a frame that was matched and looked at waits for the model; its captioning
started; its captions were ready; they were published."""


@dataclass(frozen=True)
class TimedEvent:
    """One event.

    time_ns: of this machine's clock, at the event. stamp_ns: of the frame, 0 where none is meant.
    name: of the callback. seconds: what the callback took, or publishing after the captions were
    ready; 0 elsewhere.
    """

    event: EventKind
    time_ns: int
    stamp_ns: int = 0
    name: str = ""
    seconds: float = 0.0


class EventWriter:
    """Writes records to a file, from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1 << 16)
        self._lock = threading.Lock()

    def __call__(self, record: TimedEvent) -> None:
        """Write one record."""
        line = json.dumps([*vars(record).values()])
        with self._lock:
            if not self._file.closed:
                self._file.write(line + "\n")
                if record.event == "published":  # seldom, and it is what others wait for
                    self._file.flush()

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            self._file.close()


def read_events(path: Path) -> Iterator[TimedEvent]:
    """The records in a file; a last line that was cut off is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield TimedEvent(*json.loads(line))


@dataclass(frozen=True)
class Measured:
    """The samples behind the figures. Times are in seconds since the start of the measurement.

    callbacks: name → seconds that each call took.
    started: float64 [N, 2], for each captioned frame when its captioning started, and its age then.
    newer: int64 [N], how many newer frames waited for the model by then.
    waiting: float64 [H], ages of all frames when they were matched, looked at, and waited for the
        model [s].
    publishing: seconds from captions that are ready to their publication, for each pass.
    memory: float64 [M, 2], when it was looked at, and the resident memory of the node [MB].
    """

    callbacks: dict[str, NDArray[np.float64]]
    started: NDArray[np.float64]
    newer: NDArray[np.int64]
    waiting: NDArray[np.float64]
    publishing: NDArray[np.float64]
    memory: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        return float(self.memory[-1, 0]) if len(self.memory) else 0.0


def measure(records: Iterable[TimedEvent], memory: Sequence[tuple[int, float]]) -> Measured:
    """What the records of a run say once the node has settled.

    memory: when it was looked at [ns], and what was resident [MB].
    """
    records = list(records)
    first = min((r.time_ns for r in records if r.event == "started"), default=0)
    begin = first + round(SETTLING_S * 1e9)
    kept = [record for record in records if record.time_ns >= begin]
    handed = _pairs((r.stamp_ns, r.time_ns) for r in records if r.event == "handed")
    started = [record for record in kept if record.event == "started"]
    looks = [((time_ns - begin) / 1e9, size) for time_ns, size in memory if time_ns >= begin]
    stamps, times = handed.T
    return Measured(
        callbacks={
            name: np.array([r.seconds for r in kept if r.name == name])
            for name in sorted({r.name for r in kept if r.event == "callback"})
        },
        started=_pairs(
            ((r.time_ns - begin) / 1e9, (r.time_ns - r.stamp_ns) / 1e9) for r in started
        ).astype(np.float64),
        newer=np.array([_newer(record, stamps, times) for record in started], np.int64),
        waiting=((times - stamps) / 1e9)[times >= begin],
        publishing=np.array([r.seconds for r in kept if r.event == "published"]),
        memory=_pairs(looks).astype(np.float64),
    )


def _pairs(rows: Iterable[tuple[float, float]]) -> NDArray[np.generic]:
    """[N, 2], of whole numbers where the rows are."""
    listed = list(rows)
    return np.array(listed).reshape(-1, 2) if listed else np.empty((0, 2), np.int64)


def _newer(record: TimedEvent, stamps: NDArray[np.int64], times: NDArray[np.int64]) -> int:
    """How many newer frames wait by then. The camera's stamps rise, so both columns do."""
    by_then = np.searchsorted(times, record.time_ns)
    up_to_it = np.searchsorted(stamps, record.stamp_ns, side="right")
    return max(int(by_then - up_to_it), 0)
