"""What is captioned so far, kept on disk so that an interrupted run can go on where it ended."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from perceptiondlm_ros.errors import InputError

_EARLIER: Final = "captions.jsonl"
"""What earlier versions kept."""

_TABLES: Final = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS origin(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS frames(
  number INTEGER PRIMARY KEY, log_ns INTEGER NOT NULL, message BLOB NOT NULL,
  regions INTEGER NOT NULL, dropped TEXT NOT NULL, low_bits INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS log_times ON frames(log_ns);
COMMIT;
"""


@dataclass(frozen=True)
class CaptionedFrame:
    """A frame with its captions.

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
    """The captioned frames of a run and the earlier ones; use it with `with`.

    Only one process at a time may have it open. numbers: of the frames.

    Args:
        origin: what the captions are made from and with, as JSON.

    Raises (when entered):
        InputError: what is there has another origin, is damaged, or another process has it open.
        OSError: it can't be written.
    """

    def __init__(self, path: Path, origin: dict[str, Any]) -> None:
        self._path = path
        self._origin = json.loads(json.dumps(origin))
        self.numbers: set[int] = set()

    def __enter__(self) -> Journal:
        if self._path.with_name(_EARLIER).exists():
            raise InputError(
                f"{self._path.parent}: what an interrupted run left there was made by an earlier "
                "version of the package; remove the folder to begin anew"
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._guarded():
            self._database = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            try:
                self._database.executescript(_TABLES)
                self._check_origin()
                self.numbers = {n for (n,) in self._database.execute("SELECT number FROM frames")}
            except BaseException:
                self._database.close()
                raise
        return self

    def __exit__(self, *unused: object) -> None:
        self._database.close()
        if not self.numbers:
            self.remove()  # there is nothing to go on from

    def add(self, frame: CaptionedFrame) -> None:
        """Keep a frame; it is on the disk when this returns."""
        values = vars(frame) | {"dropped": json.dumps(frame.dropped)}
        with self._guarded():
            self._database.execute(
                "INSERT INTO frames VALUES"
                "(:number, :log_ns, :message, :regions, :dropped, :low_bits)",
                values,
            )
        self.numbers.add(frame.number)

    def frames(self) -> Iterator[CaptionedFrame]:
        """All frames by their log times, each read from the disk as it is asked for."""
        with self._guarded():
            for number, log_ns, message, regions, dropped, low_bits in self._database.execute(
                "SELECT * FROM frames ORDER BY log_ns, number"
            ):
                reasons = Counter[str](json.loads(dropped))
                yield CaptionedFrame(number, log_ns, message, regions, reasons, low_bits)

    def totals(self) -> tuple[int, Counter[str], Counter[int]]:
        """Regions with captions, others by the reason, and frames by `low_bits` where not 0."""
        total, reasons, doubtful = 0, Counter[str](), Counter[int]()
        for frame in self.frames():
            total += frame.regions
            reasons += frame.dropped
            doubtful[frame.low_bits] += bool(frame.low_bits)
        return total, reasons, +doubtful

    def remove(self) -> None:
        """Close and remove it, and its folder if nothing else is in there."""
        self._database.close()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()

    def _check_origin(self) -> None:
        rows = self._database.execute("SELECT name, value FROM origin").fetchall()
        if not rows:
            self._database.execute("BEGIN")  # all of it or nothing, whenever the process ends
            self._database.executemany(
                "INSERT INTO origin VALUES(?, ?)",
                [(name, json.dumps(value)) for name, value in self._origin.items()],
            )
            self._database.execute("COMMIT")
            return
        origin = {name: json.loads(value) for name, value in rows}
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

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turns errors of SQLite into those that are documented."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InputError(
                    f"{self._path.parent}: another process is captioning into it; wait for its end"
                ) from error
            raise OSError(f"{self._path}: {error}") from error  # no space is left, for instance
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self._path}: it is damaged; remove {self._path.parent} to begin anew"
            ) from error
