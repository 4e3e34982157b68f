"""An MCAP file, read without trusting what it says about itself.

The whole file is read once when it is opened: every chunk is decompressed and its checksum tested,
and what is found is held against the file's own statistics. So it doesn't matter whether there is
an index, and a file that was cut off is read as far as it goes.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.storage import (
    Attachment,
    Connection,
    Definition,
    Notes,
    Record,
    in_order,
    merged,
)

MAGIC: Final = b"\x89MCAP0\r\n"
RECORDERS_NOTES: Final = "rosbag2"
"""Name of the record in which a recorder repeats metadata.yaml."""

_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 1, 2, 3, 4, 5, 6
_CHUNK_INDEX, _ATTACHMENT, _STATISTICS, _NOTES, _DATA_END = 8, 9, 11, 12, 15
_RECORD: Final = struct.Struct("<BQ")
_MESSAGE_HEAD: Final = struct.Struct("<HIQQ")
_CUT: Final = (
    "as when a recording was interrupted or a copy is not complete; `mcap recover` makes a whole "
    "file of what is there"
)
_REPLACED: Final = "\ufffd"
_NOT_UTF_8: Final = "not all UTF-8, and is written with U+FFFD"
_RUN: Final = 1 << 20
"""Bytes of messages outside of chunks that are read at once."""


class _DamageError(Exception):
    """Says what is wrong with a record."""


class _Extent(NamedTuple):
    """A chunk, or a run of messages outside of chunks, and the log times in it."""

    at: int
    length: int
    first_ns: int
    last_ns: int
    chunk: bool


class _Channel(NamedTuple):
    schema: int
    topic: str
    encoding: str
    metadata: tuple[tuple[str, str], ...]


class _Fields:
    """Takes the fields of a record one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.blob(struct.calcsize(layout)))

    def blob(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise _DamageError(f"a field of {length} bytes is longer than its record")
        self._at += length
        return self._data[self._at - length : self._at]

    def sized(self, layout: str = "<I") -> bytes:
        return self.blob(self.take(layout)[0])

    def text(self) -> str:
        return self.sized().decode(errors="replace")

    def pairs(self) -> tuple[tuple[str, str], ...]:
        inner = _Fields(self.sized())
        found = []
        while inner.left:
            found.append((inner.text(), inner.text()))
        return tuple(found)

    @property
    def left(self) -> int:
        return len(self._data) - self._at


class McapFile:
    """Open it with what `storage.StoredFile` says; close it."""

    kind = "mcap"

    def __init__(
        self, path: Path, name: str, step: Callable[[int], object] = lambda read: None
    ) -> None:
        """name: what messages call the file. step: is called with the bytes that were read.

        Raises:
            InputError: it is no MCAP file, or nothing of it can be read.
        """
        self._name = name
        self._file: IO[bytes] = path.open("rb")
        self._size = path.stat().st_size
        self._schemas: dict[int, tuple[str, Definition]] = {}
        self._channels: dict[int, _Channel] = {}
        self._counts: Counter[int] = Counter()
        self._extents: list[_Extent] = []
        self._extras: list[tuple[int, int, int]] = []  # kind of record, offset and length
        self._stated: dict[int, int] | None = None
        self._ended = False
        self.compression = ""
        self.lacking: list[str] = []
        self.notes: list[str] = []
        try:
            self._scan(step)
        except BaseException:
            self.close()
            raise
        self.connections = self._connect()
        self.start_ns = min((extent.first_ns for extent in self._extents), default=0)
        self.end_ns = max((extent.last_ns for extent in self._extents), default=0)
        self._compare()

    def close(self) -> None:
        self._file.close()

    def records(self, wanted: Collection[int], start: int | None = None) -> Iterator[Record]:
        """See `storage.StoredFile`.

        Raises:
            InputError: the file was changed since it was opened.
        """
        chosen = frozenset(wanted)
        first = 0 if start is None else start

        def opened(extent: _Extent) -> Iterator[Record]:
            def kept() -> Iterator[Record]:
                for record in self._messages(extent):
                    if record.connection in chosen and first <= record.log_ns:
                        yield record

            return iter(in_order(list(kept())))

        return merged(
            (extent.first_ns, lambda extent=extent: opened(extent))  # type: ignore[misc]
            for extent in self._extents
            if extent.last_ns >= first
        )

    def extras(self) -> Iterator[Attachment | Notes]:
        for kind, at, length in self._extras:
            found = _extra(kind, self._read(at, length))
            if not isinstance(found, Notes) or found.name != RECORDERS_NOTES:
                yield found

    def _scan(self, step: Callable[[int], object]) -> None:
        at = len(MAGIC)
        while not self._ended:
            try:
                end = self._record(at)
                step(end - at)
                at = end
            except _DamageError as error:
                self.lacking.append(f"{self._name}: at byte {at} of {self._size}: {error}")
                at = self._next_chunk(at)
                if not at:
                    return

    def _record(self, at: int) -> int:
        """Take in the record at an offset, and return the offset of the next."""
        head = self._read(at, _RECORD.size)
        if not head:
            raise _DamageError(f"it has no end, {_CUT}")
        if len(head) < _RECORD.size:
            raise _DamageError(f"it ends in the middle of a record, {_CUT}")
        entry: tuple[int, int] = _RECORD.unpack(head)
        kind, length = entry
        start = at + _RECORD.size
        if kind == 0:
            raise _DamageError("a zero is where a record should begin, as after a power failure")
        if start + length > self._size:
            raise _DamageError(
                f"it ends in the middle of a record, or the length of the record is damaged, {_CUT}"
            )
        if kind == _CHUNK:
            self._take_chunk(start, length)
        elif kind == _MESSAGE:
            self._take_message(at, self._read(start, length))
        elif kind in (_ATTACHMENT, _NOTES):
            self._take_extra(kind, start, length)
        elif kind == _FOOTER:
            self._ended = True
            end = start + length + len(MAGIC)
            if self._read(start + length, len(MAGIC)) != MAGIC:
                raise _DamageError(f"its last bytes are not those of an MCAP file, {_CUT}")
            if end < self._size:
                raise _DamageError(
                    f"it ends here, and {self._size - end} bytes follow, which are not read: is "
                    "another file appended?"
                )
        elif kind in (_SCHEMA, _CHANNEL, _STATISTICS, _HEADER):
            self._take_small(kind, self._read(start, length))
        return start + length

    def _take_small(self, kind: int, data: bytes) -> None:
        fields = _Fields(data)
        if kind == _SCHEMA:
            (number,) = fields.take("<H")
            name = fields.text()
            self._define(self._schemas, number, (name, Definition(fields.text(), fields.sized())))
        elif kind == _CHANNEL:
            number, schema = fields.take("<HH")
            channel = _Channel(schema, fields.text(), fields.text(), fields.pairs())
            self._define(self._channels, number, channel)
        elif kind == _STATISTICS:
            fields.take("<QHIIIIQQ")
            counts = fields.sized()
            if len(counts) % 10:
                raise _DamageError("its statistics are damaged")
            self._stated = dict(struct.iter_unpack("<HQ", counts))

    def _define(self, known: dict[int, Any], number: int, new: object) -> None:
        if known.setdefault(number, new) != new:
            raise _DamageError(f"schema or channel {number} is there twice and differs")

    def _take_chunk(self, start: int, length: int) -> None:
        """Take in a chunk as a whole or, where it is damaged, not at all."""
        try:
            data = self._chunk(start, length)
            records = list(_inner(data))
        except _DamageError as error:
            at = start - _RECORD.size
            self.lacking.append(f"{self._name}: the chunk at byte {at} can't be read: {error}")
            return
        times = []
        for kind, inside, size in records:
            if kind == _MESSAGE:
                times.append(self._count(data[inside : inside + _MESSAGE_HEAD.size]))
            elif kind in (_SCHEMA, _CHANNEL):
                self._take_small(kind, data[inside : inside + size])
        if times:
            self._extents.append(_Extent(start, length, min(times), max(times), True))

    def _take_message(self, at: int, data: bytes) -> None:
        if len(data) < _MESSAGE_HEAD.size:
            raise _DamageError("a message is too short")
        log_ns = self._count(data)
        end = at + _RECORD.size + len(data)
        last = self._extents[-1] if self._extents else None
        if last and not last.chunk and last.at + last.length == at and end - last.at <= _RUN:
            times = (min(last.first_ns, log_ns), max(last.last_ns, log_ns))
            self._extents[-1] = _Extent(last.at, end - last.at, *times, False)
        else:
            self._extents.append(_Extent(at, end - at, log_ns, log_ns, False))

    def _count(self, message: bytes) -> int:
        """Count a message by its first bytes, and return its log time."""
        head: tuple[int, int, int, int] = _MESSAGE_HEAD.unpack_from(message)
        channel, _, log_ns, _ = head
        self._counts[channel] += 1
        return log_ns

    def _take_extra(self, kind: int, start: int, length: int) -> None:
        data = self._read(start, length)
        what = f"the {'attachment' if kind == _ATTACHMENT else 'metadata'} at byte {start}"
        try:
            found = _extra(kind, data)
            if kind == _ATTACHMENT:
                (stated,) = struct.unpack("<I", data[-4:])
                if stated and stated != zlib.crc32(data[:-4]):
                    raise _DamageError("its checksum is wrong")
        except _DamageError as error:
            self.lacking.append(f"{self._name}: {what} is damaged: {error}")
            return
        self._extras.append((kind, start, length))
        if _REPLACED in str(found if isinstance(found, Notes) else found._replace(data=b"")):
            self.notes.append(f"{self._name}: {what} is {_NOT_UTF_8}")

    def _chunk(self, start: int, length: int) -> bytes:
        """A chunk's records, checked."""
        fields = _Fields(self._read(start, length))
        _, _, size, checksum = fields.take("<QQQI")
        compression = fields.text()
        data = _decompressed(fields.sized("<Q"), compression, size)
        if len(data) != size:
            raise _DamageError(f"it has {len(data)} bytes instead of {size}")
        if checksum and zlib.crc32(data) != checksum:
            raise _DamageError("its checksum is wrong")
        self.compression = self.compression or compression
        return data

    def _messages(self, extent: _Extent) -> Iterator[Record]:
        try:
            if extent.chunk:
                data = self._chunk(extent.at, extent.length)
            else:
                data = self._read(extent.at, extent.length)
            for kind, inside, size in _inner(data):
                if kind == _MESSAGE:
                    channel, sequence, log_ns, publish_ns = _MESSAGE_HEAD.unpack_from(data, inside)
                    body = data[inside + _MESSAGE_HEAD.size : inside + size]
                    yield Record(channel, log_ns, body, publish_ns, sequence)
        except _DamageError as error:
            raise InputError(f"{self._name} was changed while it was read: {error}") from error

    def _read(self, at: int, length: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(length)
        except OSError as error:
            raise InputError(f"{self._name}: can't be read: {error}") from error

    def _next_chunk(self, at: int) -> int:
        """Offset of the first chunk after a damaged place by the file's index; 0: there is none."""
        try:
            tail = _Fields(self._read(self._size - 37, 29))
            if tail.take("<BQ") != (_FOOTER, 20):
                return 0
            (place,) = tail.take("<Q")
            known = []
            for kind, inside, size in _inner(index := self._read(place, self._size - 8 - place)):
                if kind == _CHUNK_INDEX:
                    known.append(_Fields(index[inside : inside + size]).take("<QQQ")[2])
        except (_DamageError, OSError, OverflowError, ValueError):
            return 0
        return min((place for place in known if at < place < self._size), default=0)

    def _connect(self) -> list[Connection]:
        return [self._connection(number, channel) for number, channel in self._channels.items()]

    def _connection(self, number: int, channel: _Channel) -> Connection:
        kind, definition = self._schemas.get(channel.schema, ("", None))
        if channel.schema and definition is None:
            self.lacking.append(f"{self._name}: {channel.topic}: its schema is not in the file")
        if any(_REPLACED in text for text in _texts(kind, channel)):
            self.notes.append(
                f"{self._name}: {channel.topic}: what its channel says is {_NOT_UTF_8}"
            )
        metadata = dict(channel.metadata)
        return Connection(
            id=number,
            topic=channel.topic,
            msgtype=kind,
            encoding=channel.encoding,
            definition=definition,
            qos=metadata.pop("offered_qos_profiles", ""),
            digest=metadata.pop("topic_type_hash", ""),
            metadata=tuple(metadata.items()),
            msgcount=self._counts[number],
        )

    def _compare(self) -> None:
        """Hold what was found against what the file says that it holds."""
        stray = sum(n for channel, n in self._counts.items() if channel not in self._channels)
        if stray:
            self.lacking.append(f"{self._name}: messages of no channel: {stray}")
        if self._stated is None:
            return
        for number in sorted({*self._stated, *self._counts}):
            found, stated = self._counts[number], self._stated.get(number, 0)
            if found != stated:
                channel = self._channels.get(number)
                topic = channel.topic if channel else f"channel {number}"
                self.lacking.append(
                    f"{self._name}: {topic}: {found} messages can be read; its statistics count "
                    f"{stated}"
                )


def _texts(kind: str, channel: _Channel) -> Iterator[str]:
    yield from (kind, channel.topic, channel.encoding)
    for pair in channel.metadata:
        yield from pair


def _inner(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, offset and length of each record in a chunk, a run or a summary."""
    at = 0
    while at < len(data):
        if at + _RECORD.size > len(data):
            raise _DamageError("it ends in the middle of a record")
        kind, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if (
            not kind
            or length > len(data) - at
            or (kind == _MESSAGE and length < _MESSAGE_HEAD.size)
        ):
            raise _DamageError("a record in it has a wrong length or kind")
        yield kind, at, length
        at += length


def _decompressed(data: bytes, compression: str, size: int) -> bytes:
    try:
        if compression == "zstd":
            return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        if compression == "lz4":
            whole: bytes = lz4.frame.decompress(data)
            return whole
    except (zstandard.ZstdError, RuntimeError, MemoryError, OverflowError, ValueError) as error:
        raise _DamageError(f"its {compression} data is damaged ({error})") from error
    if compression:
        raise _DamageError(f"it is compressed with {compression!r}; known here are lz4 and zstd")
    return data


def _extra(kind: int, data: bytes) -> Attachment | Notes:
    fields = _Fields(data)
    if kind == _NOTES:
        return Notes(fields.text(), dict(fields.pairs()))
    log_ns, create_ns = fields.take("<QQ")
    return Attachment(log_ns, create_ns, fields.text(), fields.text(), fields.sized("<Q"))
