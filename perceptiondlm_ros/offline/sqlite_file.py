"""An SQLite file of a bag, with what its recorder left in the write-ahead log beside it.

Nothing beside or in the recording is changed: the log is read in place, without locks and with its
index in memory. A copy is made only of what SQLite would change: a recorder that kept a rollback
journal instead may have left half a transaction in the file, which SQLite undoes in the copy, and a
log beside a file of no bytes, which SQLite deletes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, TypeVar

import apsw

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.storage import (
    Attachment,
    Connection,
    Definition,
    Notes,
    Record,
)
from perceptiondlm_ros.offline.write_ahead_log import left_out

MAGIC: Final = b"SQLite format 3\0"

_SMALLEST_PAGE: Final = 512
_EARLIEST: Final = -(1 << 63)

_T = TypeVar("_T")
_SHAPE: Final = "typeof(timestamp) = 'integer' AND typeof(data) = 'blob'"
_TOPIC: Final = ("name", "type", "serialization_format")
_NEWER: Final = ("offered_qos_profiles", "type_description_hash")
"""Columns of topics: those that every recorder writes, and those that older ones don't."""


class _Row(NamedTuple):
    log_ns: int
    id: int
    topic: int


class SqliteFile:
    """Open it with what `storage.StoredFile` says; close it."""

    kind = "sqlite3"
    compression = ""

    def __init__(self, path: Path, name: str) -> None:
        """name: what messages call the file.

        Raises:
            InputError: it is no bag, or nothing of it can be read.
        """
        self._name = name
        self._stack = ExitStack()
        self._rescued: list[_Row] | None = None  # of a damaged database, what can be read
        self.lacking: list[str] = []
        self.notes: list[str] = []
        try:
            self._guarded(lambda: self._test_length(path))
            self._guarded(lambda: self._test_log(beside(path, "-wal")))
            self._database = self._guarded(lambda: _opened(path, self._stack))
            self._guarded(self._survey)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def records(self, wanted: Collection[int], start: int | None = None) -> Iterator[Record]:
        """See `storage.StoredFile`.

        Raises:
            InputError: the file was changed since it was opened.
        """
        rows = self._rows_of(wanted, start)
        while True:
            row = self._guarded(lambda: next(rows, None))
            if row is None:
                return
            data = self._guarded(lambda row=row: self._data(row.id))  # type: ignore[misc]
            yield Record(row.topic, row.log_ns, data, row.log_ns)

    def extras(self) -> Iterator[Attachment | Notes]:
        return iter(())

    def _rows_of(self, wanted: Collection[int], start: int | None) -> Iterator[_Row]:
        low = _EARLIEST if start is None else start
        if self._rescued is not None:
            for row in self._rescued:
                if row.topic in wanted and low <= row.log_ns:
                    yield row
            return
        ids = sorted(wanted)
        # The data is fetched apart, so that sorting doesn't hold it.
        yield from map(
            _Row._make,
            self._database.execute(
                "SELECT timestamp, id, topic_id FROM messages WHERE timestamp >= ? "
                f"AND topic_id IN ({','.join('?' * len(ids))}) AND {_SHAPE} "
                "ORDER BY timestamp, id",
                (low, *ids),
            ),
        )

    def _data(self, row: int) -> bytes:
        ((data,),) = self._all("SELECT data FROM messages WHERE id = ?", row)
        return bytes(data)

    def _test_length(self, path: Path) -> None:
        with path.open("rb") as file:
            head = file.read(18)
        page = int.from_bytes(head[16:], "big")
        page = 1 << 16 if page == 1 else page  # which two bytes can't say
        if page and path.stat().st_size % page and not _hot_journal(path):
            self.lacking.append(f"{self._name}: it ends in the middle of a page: it was cut off")

    def _test_log(self, log: Path | None) -> None:
        if log is None:
            return
        left = left_out(log)
        if left.damaged:
            self.lacking.append(
                f"{log.name}: its last pages ({left.damaged}) are damaged or cut off, and with "
                "them the messages that they hold"
            )
        if left.unfinished:
            self.notes.append(
                f"{log.name}: its last pages ({left.unfinished}) are of messages that the recorder "
                "had not finished writing"
            )

    def _survey(self) -> None:
        """Read what the database says of its topics, and count its messages."""
        faults: list[str] = []
        tables = self._tables(faults)
        if not {"messages", "topics"} <= tables:
            raise InputError(
                f"{self._name}: it is an SQLite database, but no bag: it has no tables messages "
                "and topics"
            )
        faults += self._test()
        if faults:
            self._rescued = sorted(self._rescue())
            self.lacking.append(
                f"{self._name}: the database is damaged ({' '.join(faults[0].split())}); "
                "`sqlite3 FILE .recover` may get more out of it"
            )
        counts = self._counted()
        self.connections = self._topics(tables, counts)
        known = {connection.id for connection in self.connections}
        stray = sum(number for topic, number in counts.items() if topic not in known)
        if stray:
            self.lacking.append(f"{self._name}: messages of no topic of the file: {stray}")

    def _tables(self, faults: list[str]) -> set[str]:
        query = "SELECT name FROM sqlite_master"
        try:
            return {name for (name,) in self._all(query)}
        except apsw.CorruptError as error:
            faults.append(str(error))
            # So SQLite takes a file that is shorter than it should be. Nothing can be written.
            self._database.execute("PRAGMA writable_schema = ON")
            return {name for (name,) in self._all(query)}

    def _test(self) -> list[str]:
        try:
            return [text for (text,) in self._all("PRAGMA integrity_check(1)") if text != "ok"]
        except apsw.Error as error:
            return [str(error)]

    def _counted(self) -> dict[int, int]:
        """Messages by the id of their topic. Finds the first and the last log time on the way."""
        times: list[int] = []
        counts: Counter[int] = Counter()
        if self._rescued is not None:
            counts.update(row.topic for row in self._rescued)
            times = [row.log_ns for row in (*self._rescued[:1], *self._rescued[-1:])]
        else:
            for topic, number, first, last in self._all(
                "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages "
                f"WHERE {_SHAPE} GROUP BY topic_id"
            ):
                counts[topic] = number
                times += [first, last]
            ((every,),) = self._all("SELECT count(*) FROM messages")
            if odd := every - counts.total():
                self.lacking.append(f"{self._name}: messages without a time or data: {odd}")
        self.start_ns, self.end_ns = min(times, default=0), max(times, default=0)
        return counts

    def _rescue(self) -> set[_Row]:
        """The rows of a damaged table that can be read, from its beginning and from its end."""
        found: set[_Row] = set()
        for order in ("ASC", "DESC"):
            try:
                for row in self._database.execute(
                    "SELECT timestamp, id, topic_id FROM messages NOT INDEXED "
                    f"WHERE {_SHAPE} ORDER BY id {order}"
                ):
                    if self._has_data(row[1]):
                        found.add(_Row._make(row))
            except apsw.Error:
                continue  # what comes after it can't be reached from this side
            break
        return found

    def _has_data(self, row: int) -> bool:
        try:
            self._data(row)
        except (apsw.Error, ValueError):
            return False
        return True

    def _topics(self, tables: set[str], counts: dict[int, int]) -> list[Connection]:
        there = {row[1] for row in self._all("PRAGMA table_info(topics)")}
        missing = {*_TOPIC, *_NEWER} - there
        if missing & set(_TOPIC) or (missing and there - {"id", *_TOPIC, *_NEWER}):
            raise ValueError(f"its topics have the columns {', '.join(sorted(there))}")
        columns = [name if name in there else "''" for name in (*_TOPIC, *_NEWER)]
        definitions: dict[str, Definition] = {}
        if "message_definitions" in tables:
            for kind, encoding, text in self._all(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions "
                "ORDER BY id"
            ):
                found = Definition(_text(encoding), _text(text).encode())
                definitions.setdefault(_text(kind), found)
        return [
            Connection(
                id=number,
                topic=_text(name),
                msgtype=_text(kind),
                encoding=_text(encoding),
                definition=definitions.get(kind),
                qos=_text(qos),
                digest=_text(digest),
                msgcount=counts.get(number, 0),
            )
            for number, name, kind, encoding, qos, digest in self._all(
                f"SELECT id, {', '.join(columns)} FROM topics ORDER BY id"
            )
        ]

    def _all(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        return list(self._database.execute(query, values))

    def _guarded(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except InputError:
            raise
        except (apsw.Error, ValueError, TypeError, MemoryError) as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self._name}: the database can't be read: {told}") from error
        except OSError as error:
            raise InputError(f"{self._name}: can't be copied or read: {error}") from error


def beside(path: Path, end: str) -> Path | None:
    """What lies beside a database as its log (-wal) or journal (-journal), if it isn't empty.

    Where the database is a link it may lie beside either end of it.
    """
    for end_of_link in (path, path.resolve()):
        found = end_of_link.with_name(end_of_link.name + end)
        if found.is_file() and found.stat().st_size:
            return found
    return None


def _opened(path: Path, stack: ExitStack) -> apsw.Connection:
    """The database, for reading only, with what lies in the files beside it."""
    log, journal = beside(path, "-wal"), _hot_journal(path)
    real = path.resolve()  # SQLite looks for the others beside this one
    flags, vfs, mode = apsw.SQLITE_OPEN_READONLY, "", "mode=ro"
    empty = not path.stat().st_size
    if journal or (log and (empty or log.resolve() != real.with_name(f"{real.name}-wal"))):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bag-")))
        for source, end in ((path, ""), (log, "-wal"), (journal, "-journal")):
            if source:
                shutil.copyfile(source, folder / f"copy{end}")
        real, flags, mode = folder / "copy", apsw.SQLITE_OPEN_READWRITE, "mode=rw"
        if empty:  # SQLite deletes the log of an empty database, even one opened for reading only
            real.write_bytes(bytes(_SMALLEST_PAGE))
    elif log:
        vfs = "unix-none"  # no locks, which would need a file of their own
    else:
        mode = "immutable=1"
    database = apsw.Connection(
        f"{real.as_uri()}?{mode}", flags=flags | apsw.SQLITE_OPEN_URI, vfs=vfs or None
    )
    stack.callback(database.close)
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # keeps the log's index in memory
    return database


def _hot_journal(path: Path) -> Path | None:
    """A rollback journal of what has to be undone; a finished one begins with a zero."""
    journal = beside(path, "-journal")
    if journal is None:
        return None
    with journal.open("rb") as file:
        return None if file.read(1) == b"\0" else journal


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} stands where a name or a text should")
    return value
