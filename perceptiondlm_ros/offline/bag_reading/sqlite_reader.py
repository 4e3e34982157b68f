"""An SQLite file of a bag, with what its recorder left in the write-ahead log beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.sqlite_opening import beside, is_cut, open_database
from perceptiondlm_ros.offline.bag_reading.stored import (
    Connection,
    Definition,
    Extra,
    StoredMessage,
)
from perceptiondlm_ros.offline.bag_reading.write_ahead_log import left_out

MAGIC: Final = b"SQLite format 3\0"

_EARLIEST: Final = -(1 << 63)
_SHAPE: Final = "typeof(timestamp) = 'integer' AND typeof(data) = 'blob'"
_TOPIC: Final = ("name", "type", "serialization_format")
_NEWER: Final = ("offered_qos_profiles", "type_description_hash")
"""Columns of topics: those that every recorder writes, and those that older ones don't."""


class SqliteReader:
    """An SQLite file of a bag, open, with the attributes and methods of `McapReader`.

    What can be read of its messages is `readable` in the database, without their data, so that
    sorting doesn't hold it.

    Args:
        name: what messages call the file.

    Raises:
        InputError: it is no bag, or nothing of it can be read.
    """

    kind = "sqlite3"
    compression = ""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._stack = ExitStack()
        self.lacking: list[str] = []
        self.notes: list[str] = []
        try:
            with self._guarded():
                if is_cut(path):
                    self._lacks("it ends in the middle of a page: it was cut off")
                if log := beside(path, "-wal"):
                    self._test_log(log)
                self._database = open_database(path, self._stack)
                self._read_topics()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def messages(
        self, wanted: Collection[int], start: int | None = None
    ) -> Iterator[StoredMessage]:
        with self._guarded():
            for number, topic, log_ns in self._database.execute(
                "SELECT id, topic_id, timestamp FROM readable WHERE timestamp >= ? "
                f"AND topic_id IN ({','.join('?' * len(wanted))}) ORDER BY timestamp, id",
                (_EARLIEST if start is None else start, *wanted),
            ):
                yield StoredMessage(topic, log_ns, self._data(number), log_ns)

    def extras(self) -> Iterator[Extra]:
        return iter(())

    def _data(self, row: int) -> bytes:
        ((data,),) = self._all("SELECT data FROM messages WHERE id = ?", row)
        return bytes(data)

    def _test_log(self, log: Path) -> None:
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

    def _read_topics(self) -> None:
        """Read what the database says of its topics, and count its messages."""
        tables, fault = self._tables()
        if not {"messages", "topics"} <= tables:
            raise InputError(
                f"{self._name}: it is an SQLite database, but no bag: it has no tables messages "
                "and topics"
            )
        if fault := fault or self._fault():
            self._find_readable()
            self._lacks(
                f"the database is damaged ({_in_a_line(fault)}); "
                "`sqlite3 FILE .recover` may get more out of it"
            )
        else:
            self._database.execute(
                "CREATE TEMP VIEW readable AS "
                f"SELECT id, topic_id, timestamp FROM messages WHERE {_SHAPE}"
            )
        found = self._all(
            "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM readable "
            "GROUP BY topic_id"
        )
        counts = {topic: number for topic, number, _, _ in found}
        self.start_ns = min((first for *_, first, _ in found), default=0)
        self.end_ns = max((last for *_, last in found), default=0)
        if not fault:
            ((every,),) = self._all("SELECT count(*) FROM messages")
            if odd := every - sum(counts.values()):
                self._lacks(f"messages without a time or data: {odd}")
        self.connections = self._connections("message_definitions" in tables, counts)
        known = {connection.id for connection in self.connections}
        if stray := sum(number for topic, number in counts.items() if topic not in known):
            self._lacks(f"messages of no topic of the file: {stray}")

    def _tables(self) -> tuple[set[str], str]:
        """Their names, and what is wrong with the database."""
        query, fault = "SELECT name FROM sqlite_master", ""
        try:
            rows = self._all(query)
        except apsw.CorruptError as error:
            fault = str(error)
            # So SQLite takes a file that is shorter than it should be. Nothing can be written.
            self._database.execute("PRAGMA writable_schema = ON")
            rows = self._all(query)
        return {name for (name,) in rows}, fault

    def _fault(self) -> str:
        """What is wrong with the database by its own check; empty if nothing is."""
        try:
            told = [str(text) for (text,) in self._all("PRAGMA integrity_check(1)")]
        except apsw.Error as error:
            return str(error)
        return next((text for text in told if text != "ok"), "")

    def _find_readable(self) -> None:
        """The rows of a damaged table that can be read, from its beginning and from its end."""
        self._database.execute(
            "CREATE TEMP TABLE readable(id INTEGER PRIMARY KEY, topic_id, timestamp)"
        )
        for order in ("ASC", "DESC"):
            try:
                for row in self._database.execute(
                    "SELECT id, topic_id, timestamp FROM messages NOT INDEXED "
                    f"WHERE {_SHAPE} ORDER BY id {order}"
                ):
                    if self._has_data(row[0]):
                        self._all("INSERT OR IGNORE INTO readable VALUES(?, ?, ?)", *row)
            except apsw.Error:
                continue  # what comes after it can't be reached from this side
            break

    def _has_data(self, row: int) -> bool:
        try:
            self._data(row)
        except (apsw.Error, ValueError):
            return False
        return True

    def _connections(self, have_definitions: bool, counts: dict[int, int]) -> list[Connection]:
        there = {row[1] for row in self._all("PRAGMA table_info(topics)")}
        missing = {*_TOPIC, *_NEWER} - there
        if missing & set(_TOPIC) or (missing and there - {"id", *_TOPIC, *_NEWER}):
            raise ValueError(f"its topics have the columns {', '.join(sorted(there))}")
        columns = [name if name in there else "''" for name in (*_TOPIC, *_NEWER)]
        definitions: dict[str, Definition] = {}
        if have_definitions:
            for row in self._all(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions "
                "ORDER BY id"
            ):
                kind, encoding, text = map(_text, row)
                definitions.setdefault(kind, Definition(encoding, text.encode()))
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

    def _lacks(self, sentence: str) -> None:
        self.lacking.append(f"{self._name}: {sentence}")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turns whatever is raised on a file that can't be read into an InputError."""
        try:
            yield
        except InputError:
            raise
        except (apsw.Error, ValueError, TypeError, MemoryError) as error:
            told = _in_a_line(str(error)) or type(error).__name__
            raise InputError(f"{self._name}: the database can't be read: {told}") from error
        except OSError as error:
            raise InputError(f"{self._name}: can't be copied or read: {error}") from error


def _in_a_line(text: str) -> str:
    return " ".join(text.split())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} stands where a name or a text should")
    return value
