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
from array import array
from collections import Counter
from collections.abc import Iterator
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
    low_bits: of its image, see `bit_depth.Decoded`.
    """

    number: int
    log_ns: int
    message: bytes
    regions: int
    dropped: Counter[str] = field(default_factory=Counter)
    low_bits: int = 0


class Journal:
    """Use it with `with`: only one process at a time may have it open.

    Messages stay on the disk. numbers: of the frames that are kept.
    regions, dropped: of all frames, see `Described`. low_bits: frames, by theirs, where not 0.
    """

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        """origin: what the captions are made from and with, as JSON; see `InputError` below.

        Raises (when entered):
            InputError: what is there has another origin, or another process has it open.
        """
        self._path = path
        self._origin = json.loads(json.dumps(origin))
        self._file: IO[bytes]
        self.numbers: set[int] = set()
        self.regions = 0
        self.dropped: Counter[str] = Counter()
        self.low_bits: Counter[int] = Counter()
        self._log_times = array("q")
        self._lines = array("q")  # where they begin in the file

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
        if not self.numbers:
            self.remove()  # there is nothing to go on from
        self._file.close()

    def add(self, frame: Described) -> None:
        """Keep a frame; it is on the disk when this returns."""
        line = self._append(
            {
                "number": frame.number,
                "log_ns": frame.log_ns,
                "regions": frame.regions,
                "dropped": dict(frame.dropped),
                "low_bits": frame.low_bits,
                "message": base64.b64encode(frame.message).decode(),
            }
        )
        self._note(frame, line)

    def remove(self) -> None:
        """Remove it, and its folder if nothing else is in there."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()

    def frames(self) -> Iterator[Described]:
        """All frames by their log times, each read from the disk as it is asked for."""
        for index in sorted(range(len(self._lines)), key=self._log_times.__getitem__):
            self._file.seek(self._lines[index])
            yield self._described(self._file.readline())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{self._path.parent}: another process is captioning into it; wait for its end"
            ) from error

    def _read(self) -> None:
        self._file.seek(0)
        first = self._file.readline()
        if first.endswith(b"\n"):
            self._check_origin(first)
        end = self._file.tell()
        for line in self._file:
            if line.endswith(b"\n"):
                self._note(self._described(line), end)
                end += len(line)
        if not first.endswith(b"\n"):
            self._file.truncate(0)
            self._append(self._origin)
        else:
            self._file.truncate(end)  # what comes after the last line's end was cut off

    def _note(self, frame: Described, line: int) -> None:
        self.numbers.add(frame.number)
        self._log_times.append(frame.log_ns)
        self._lines.append(line)
        self.regions += frame.regions
        self.dropped += frame.dropped
        if frame.low_bits:
            self.low_bits[frame.low_bits] += 1

    def _described(self, line: bytes) -> Described:
        entry = self._parsed(line)
        try:
            return Described(
                number=entry["number"],
                log_ns=entry["log_ns"],
                message=base64.b64decode(entry["message"]),
                regions=entry["regions"],
                dropped=Counter(entry["dropped"]),
                low_bits=entry["low_bits"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged() from error

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
            entry = json.loads(line)
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(entry, dict):
            raise self._damaged()
        return entry

    def _damaged(self) -> InputError:
        return InputError(
            f"{self._path}: a line of it is damaged; remove {self._path.parent} to begin anew"
        )

    def _append(self, entry: dict[str, Any]) -> int:
        """Returns where the line begins."""
        line = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return line
