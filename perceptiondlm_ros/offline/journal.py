"""What is captioned so far, kept on disk so that an interrupted run can go on where it ended.

A text file with one JSON object a line: first what the captions are made from and with, then a
frame each. A line that was cut off by the interruption is dropped.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from perceptiondlm_ros.errors import InputError


@dataclass(frozen=True)
class Described:
    """One captioned frame.

    number: of its detections message among all of the bag, in reading order, from 0.
    log_ns: when both image and detections were in the bag, the log time of its descriptions.
    message: its RegionDescriptionArray, serialised as CDR.
    regions: that have captions. dropped: others, by the reason.
    """

    number: int
    log_ns: int
    message: bytes
    regions: int
    dropped: Counter[str] = field(default_factory=Counter)


class Journal:
    """Use it with `with`: only one process at a time may have it open."""

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        """origin: what the captions are made from and with, as JSON; see `InputError` below.

        Raises (when entered):
            InputError: what is there has another origin, or another process has it open.
        """
        self._path = path
        self._origin = json.loads(json.dumps(origin))
        self._file: IO[bytes]
        self.frames: dict[int, Described] = {}

    def __enter__(self) -> Journal:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b")
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.frames:
            self._path.unlink(missing_ok=True)  # there is nothing to go on from
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()
        self._file.close()

    def add(self, frame: Described) -> None:
        """Keep a frame; it is on the disk when this returns."""
        self.frames[frame.number] = frame
        self._append(
            {
                "number": frame.number,
                "log_ns": frame.log_ns,
                "regions": frame.regions,
                "dropped": dict(frame.dropped),
                "message": base64.b64encode(frame.message).decode(),
            }
        )

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{self._path.parent}: another process is captioning into it; wait for its end"
            ) from error

    def _read(self) -> None:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        whole = sum(len(line) + 1 for line in lines[:-1])
        self._file.truncate(whole)  # what comes after the last line's end was cut off
        if len(lines) == 1:
            self._append(self._origin)
            return
        self._check_origin(lines[0])
        for line in lines[1:-1]:
            entry = self._parsed(line)
            self.frames[entry["number"]] = Described(
                number=entry["number"],
                log_ns=entry["log_ns"],
                message=base64.b64decode(entry["message"]),
                regions=entry["regions"],
                dropped=Counter(entry["dropped"]),
            )

    def _check_origin(self, line: bytes) -> None:
        origin = self._parsed(line)
        other = [
            f"{name} {origin.get(name)!r} instead of {value!r}"
            for name, value in self._origin.items()
            if origin.get(name) != value
        ]
        if other:
            raise InputError(
                f"{self._path.parent}: what an interrupted run left there was made with "
                f"{'; '.join(other)}; give the same again, or remove the folder to begin anew"
            )

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"{self._path}: a line of it is damaged; remove {self._path.parent} to begin anew"
            ) from error
        return entry

    def _append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
