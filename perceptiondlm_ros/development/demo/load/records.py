"""What the node under load did and when, written as it happens: kept in memory it would look like a
leak of the node."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Event = Literal["callback", "handed", "started", "ready", "published"]
"""A callback ended; a frame that was matched and looked at waits for the model; its captioning
started; its captions were ready; they were published."""


@dataclass(frozen=True)
class Record:
    """One event.

    time_ns: of this machine's clock, at the event. stamp_ns: of the frame, 0 where none is meant.
    name: of the callback. seconds: what the callback took, or publishing after the captions were
    ready; 0 elsewhere.
    """

    event: Event
    time_ns: int
    stamp_ns: int = 0
    name: str = ""
    seconds: float = 0.0


class Recorder:
    """Writes records to a file, from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1 << 16)
        self._lock = threading.Lock()

    def __call__(self, record: Record) -> None:
        line = json.dumps([*vars(record).values()])
        with self._lock:
            if not self._file.closed:
                self._file.write(line + "\n")
                if record.event == "published":  # seldom, and it is what others wait for
                    self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


def read(path: Path) -> Iterator[Record]:
    """The records in a file; a last line that was cut off is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield Record(*json.loads(line))
