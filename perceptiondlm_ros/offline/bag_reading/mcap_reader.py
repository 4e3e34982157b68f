"""An MCAP file, read without trusting what it says about itself.

The whole file is read once when it is opened: every chunk is decompressed and its checksum tested,
and what is found is held against the file's own statistics. So it doesn't matter whether there is
an index, and a file that was cut off is read as far as it goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.mcap_records import (
    HEAD,
    MAGIC,
    MESSAGE_HEAD,
    DamagedRecordError,
    indexed_chunks,
    parse,
    parse_chunk,
    parse_extra,
    records_in,
)
from perceptiondlm_ros.offline.bag_reading.stored import (
    Connection,
    Definition,
    Extra,
    StoredMessage,
    merged,
)

RECORDERS_METADATA: Final = "rosbag2"
"""Name of the record in which a recorder repeats metadata.yaml."""

_CUT: Final = (
    "as when a recording was interrupted or a copy is not complete; `mcap recover` makes a whole "
    "file of what is there"
)
_NOT_UTF_8: Final = "not all UTF-8, and is written with U+FFFD"
_RUN: Final = 1 << 20
"""Bytes of messages outside of chunks that are read at once."""


class _Extent(NamedTuple):
    """A chunk, or a run of messages outside of chunks, and the log times in it."""

    at: int
    length: int
    first_ns: int
    last_ns: int
    chunk: bool


class McapReader:
    """An MCAP file, open; see `StoredFile`.

    Args:
        name: what messages call the file.
        step: is called with the bytes that were read.

    Raises:
        InputError: the file can't be read.
    """

    kind = "mcap"

    def __init__(
        self, path: Path, name: str, step: Callable[[int], object] = lambda read: None
    ) -> None:
        self._name = name
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._extents: list[_Extent] = []
        self._extras: list[tuple[int, int, int]] = []  # opcode, offset and length
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
        self.connections = [self._connection(channel) for channel in self._channels.values()]
        self.start_ns = min((extent.first_ns for extent in self._extents), default=0)
        self.end_ns = max((extent.last_ns for extent in self._extents), default=0)
        self._compare_counts()

    def close(self) -> None:
        self._file.close()

    def messages(
        self, wanted: Collection[int], start: int | None = None
    ) -> Iterator[StoredMessage]:
        chosen, first = frozenset(wanted), start or 0

        def in_order(extent: _Extent) -> list[StoredMessage]:
            found = self._messages(extent)
            kept = [m for m in found if m.connection in chosen and m.log_ns >= first]
            return sorted(kept, key=itemgetter(1))  # those of one log time stay as they are

        return merged(
            (extent.first_ns, partial(in_order, extent))
            for extent in self._extents
            if extent.last_ns >= first
        )

    def extras(self) -> Iterator[Extra]:
        for opcode, at, length in self._extras:
            try:
                found = parse_extra(opcode, self._read(at, length))
            except DamagedRecordError as error:
                raise self._changed(error) from error
            if not isinstance(found, Metadata) or found.name != RECORDERS_METADATA:
                yield found

    def _scan(self, step: Callable[[int], object]) -> None:
        at = len(MAGIC)
        while not self._ended:
            try:
                end = self._take(at)
                step(end - at)
                at = end
            except DamagedRecordError as error:
                self.lacking.append(f"{self._name}: at byte {at} of {self._size}: {error}")
                at = next((c for c in indexed_chunks(self._file) if at < c < self._size), 0)
                if not at:
                    return

    def _take(self, at: int) -> int:
        """Take in the record at an offset, and return the offset of the next."""
        head = self._read(at, HEAD.size)
        if not head:
            raise DamagedRecordError(f"it has no end, {_CUT}")
        if len(head) < HEAD.size:
            raise DamagedRecordError(f"it ends in the middle of a record, {_CUT}")
        opcode, length = HEAD.unpack(head)
        start, end = at + HEAD.size, int(at + HEAD.size + length)
        if opcode == 0:
            raise DamagedRecordError(
                "a zero is where a record should begin, as after a power failure"
            )
        if end > self._size:
            raise DamagedRecordError(
                f"it ends in the middle of a record, or the length of the record is damaged, {_CUT}"
            )
        if opcode == Opcode.CHUNK:
            self._take_chunk(start, length)
        elif opcode == Opcode.MESSAGE:
            self._take_message(at, self._read(start, length))
        elif opcode in (Opcode.ATTACHMENT, Opcode.METADATA):
            self._take_extra(opcode, start, length)
        elif opcode == Opcode.FOOTER:
            self._test_end(end)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS):
            self._take_small(opcode, self._read(start, length))
        return end

    def _test_end(self, end: int) -> None:
        """end: offset after the last record."""
        self._ended = True
        if self._read(end, len(MAGIC)) != MAGIC:
            raise DamagedRecordError(f"its last bytes are not those of an MCAP file, {_CUT}")
        if more := self._size - end - len(MAGIC):
            raise DamagedRecordError(
                f"it ends here, and {more} bytes follow, which are not read: is another file "
                "appended?"
            )

    def _take_small(self, opcode: int, data: bytes) -> None:
        found = parse(opcode, data)
        if opcode == Opcode.STATISTICS:
            self._stated = found.channel_message_counts
            return
        known: dict[int, Any] = self._schemas if opcode == Opcode.SCHEMA else self._channels
        if known.setdefault(found.id, found) != found:
            raise DamagedRecordError(f"schema or channel {found.id} is there twice and differs")

    def _take_chunk(self, start: int, length: int) -> None:
        """Take in a chunk as a whole or, where it is damaged, not at all."""
        try:
            data, compression = parse_chunk(self._read(start, length))
            records = list(records_in(data))
        except DamagedRecordError as error:
            at = start - HEAD.size
            self.lacking.append(f"{self._name}: the chunk at byte {at} can't be read: {error}")
            return
        self.compression = self.compression or compression
        times = []
        for opcode, inside, size in records:
            if opcode == Opcode.MESSAGE:
                times.append(self._count(data, inside))
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._take_small(opcode, data[inside : inside + size])
        if times:
            self._extents.append(_Extent(start, length, min(times), max(times), True))

    def _take_message(self, at: int, data: bytes) -> None:
        if len(data) < MESSAGE_HEAD.size:
            raise DamagedRecordError("a message is too short")
        log_ns = self._count(data, 0)
        run = _Extent(at, HEAD.size + len(data), log_ns, log_ns, False)
        last = self._extents[-1] if self._extents else None
        if last and not last.chunk and last.at + last.length == at:
            length = last.length + run.length
            if length <= _RUN:
                times = (min(last.first_ns, log_ns), max(last.last_ns, log_ns))
                run = _Extent(last.at, length, *times, False)
                self._extents.pop()
        self._extents.append(run)

    def _count(self, data: bytes, at: int) -> int:
        """Count the message at an offset, and return its log time."""
        channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(data, at)
        self._counts[channel] += 1
        return int(log_ns)

    def _take_extra(self, opcode: int, start: int, length: int) -> None:
        what = f"{self._name}: the {Opcode(opcode).name.lower()} at byte {start} is"
        try:
            found = parse_extra(opcode, self._read(start, length))
        except DamagedRecordError as error:
            self.lacking.append(f"{what} damaged: {error}")
            return
        self._extras.append((opcode, start, length))
        texts = {name: value for name, value in vars(found).items() if name != "data"}
        if "\ufffd" in str(texts):
            self.notes.append(f"{what} {_NOT_UTF_8}")

    def _messages(self, extent: _Extent) -> Iterator[StoredMessage]:
        try:
            data = self._read(extent.at, extent.length)
            if extent.chunk:
                data, _ = parse_chunk(data)
            for opcode, inside, size in records_in(data):
                if opcode == Opcode.MESSAGE:
                    channel, sequence, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(data, inside)
                    body = data[inside + MESSAGE_HEAD.size : inside + size]
                    yield StoredMessage(channel, log_ns, body, publish_ns, sequence)
        except DamagedRecordError as error:
            raise self._changed(error) from error

    def _changed(self, error: DamagedRecordError) -> InputError:
        return InputError(f"{self._name} was changed while it was read: {error}")

    def _read(self, at: int, length: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(length)
        except OSError as error:
            raise InputError(f"{self._name}: can't be read: {error}") from error

    def _connection(self, channel: Channel) -> Connection:
        schema = self._schemas.get(channel.schema_id)
        if channel.schema_id and schema is None:
            self.lacking.append(f"{self._name}: {channel.topic}: its schema is not in the file")
        msgtype = schema.name if schema else ""
        if "\ufffd" in f"{msgtype}{channel}":
            self.notes.append(
                f"{self._name}: {channel.topic}: what its channel says is {_NOT_UTF_8}"
            )
        metadata = dict(channel.metadata)
        return Connection(
            id=channel.id,
            topic=channel.topic,
            msgtype=msgtype,
            encoding=channel.message_encoding,
            definition=Definition(schema.encoding, schema.data) if schema else None,
            qos=metadata.pop("offered_qos_profiles", ""),
            digest=metadata.pop("topic_type_hash", ""),
            metadata=tuple(metadata.items()),
            msgcount=self._counts[channel.id],
        )

    def _compare_counts(self) -> None:
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
