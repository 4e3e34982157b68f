"""An MCAP file of a bag, read once without trusting what it says about itself.

Every chunk is decompressed and its checksum tested, and what is found is held against the file's
own statistics. So it doesn't matter whether there is an index, and a file that was cut off is read
as far as it goes.
"""

from __future__ import annotations

import os
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
    MAGIC,
    MESSAGE_HEAD,
    DamagedRecordError,
    check_end,
    indexed_chunks,
    parse,
    parse_chunk,
    parse_extra,
    record_at,
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
    """An MCAP file of a bag, open.

    lacking: what of it can't be read, a sentence each. notes: what else is to be told.
    compression: of its chunks: "", "lz4" or "zstd".
    start_ns, end_ns: log times of the first and the last message; without any 0.

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
        self.compression = ""
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self._name = name
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()  # messages by the id of their channel
        self._stated: dict[int, int] | None = None  # the same by the file's statistics
        self._extents: list[_Extent] = []
        self._extras: list[tuple[int, int, int]] = []  # opcode, offset and length
        self._file = path.open("rb")
        try:
            self._size = self._file.seek(0, os.SEEK_END)
            self._scan(step)
        except BaseException:
            self.close()
            raise
        self._compare_counts()
        self.connections = [self._connection(channel) for channel in self._channels.values()]
        self.start_ns = min((extent.first_ns for extent in self._extents), default=0)
        self.end_ns = max((extent.last_ns for extent in self._extents), default=0)

    def close(self) -> None:
        self._file.close()

    def messages(
        self, wanted: Collection[int], start: int | None = None
    ) -> Iterator[StoredMessage]:
        """Messages of the wanted connections from a log time in ns on, in the order of these.

        Raises:
            InputError: the file was changed since it was opened.
        """
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
        """What it holds beside messages, but for what its recorder repeats there."""
        for opcode, at, length in self._extras:
            try:
                found = parse_extra(opcode, self._read(at, length))
            except DamagedRecordError as error:
                raise self._changed(error) from error
            if not isinstance(found, Metadata) or found.name != RECORDERS_METADATA:
                yield found

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

    def _scan(self, step: Callable[[int], object]) -> None:
        at, opcode = len(MAGIC), 0
        while opcode != Opcode.FOOTER:
            try:
                opcode, start, length = record_at(self._file, at, self._size)
                self._take(opcode, at, start, length)
                step(start + length - at)
                at = start + length
            except DamagedRecordError as error:
                self.lacking.append(f"{self._name}: at byte {at} of {self._size}: {error}")
                at = next((c for c in indexed_chunks(self._file) if at < c < self._size), 0)
                if not at:
                    return

    def _take(self, opcode: int, at: int, start: int, length: int) -> None:
        """Take in the record at an offset, whose contents begin at `start`."""
        if opcode == Opcode.CHUNK:
            try:
                data, compression = parse_chunk(self._read(start, length))
                records = list(records_in(data))  # all of it or nothing
            except DamagedRecordError as error:
                self.lacking.append(f"{self._name}: the chunk at byte {at} can't be read: {error}")
                return
            self.compression = self.compression or compression
            self._take_records(data, records, start, length, chunk=True)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            whole = start + length - at
            data = self._read(at, whole)
            self._take_records(data, list(records_in(data)), at, whole, chunk=False)
        elif opcode in (Opcode.ATTACHMENT, Opcode.METADATA):
            self._take_extra(opcode, start, length)
        elif opcode == Opcode.STATISTICS:
            self._stated = parse(opcode, self._read(start, length)).channel_message_counts
        elif opcode == Opcode.FOOTER:
            check_end(self._file, start + length, self._size)

    def _take_records(
        self, data: bytes, records: list[tuple[int, int, int]], at: int, length: int, chunk: bool
    ) -> None:
        """Take in records that lie together at an offset of the file."""
        times = []
        for opcode, inside, size in records:
            if opcode == Opcode.MESSAGE:
                channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(data, inside)
                self._counts[channel] += 1
                times.append(log_ns)
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                found = parse(opcode, data[inside : inside + size])
                known: dict[int, Any]
                known = self._schemas if opcode == Opcode.SCHEMA else self._channels
                if known.setdefault(found.id, found) != found:
                    raise DamagedRecordError(
                        f"schema or channel {found.id} is there twice and differs"
                    )
        if not times:
            return
        last = self._extents[-1] if self._extents else None
        is_run = last and not (chunk or last.chunk) and last.at + last.length == at
        if last and is_run and last.length + length <= _RUN:
            at, length = last.at, last.length + length
            times += [last.first_ns, last.last_ns]
            self._extents.pop()
        self._extents.append(_Extent(at, length, min(times), max(times), chunk))

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

    def _compare_counts(self) -> None:
        """Hold what was found against what the file says that it holds."""
        stray = sum(n for channel, n in self._counts.items() if channel not in self._channels)
        if stray:
            self.lacking.append(f"{self._name}: messages of no channel: {stray}")
        stated = self._counts if self._stated is None else self._stated
        for number in sorted({*stated, *self._counts}):
            found, told = self._counts[number], stated.get(number, 0)
            if found != told:
                channel = self._channels.get(number)
                topic = channel.topic if channel else f"channel {number}"
                self.lacking.append(
                    f"{self._name}: {topic}: {found} messages can be read; its statistics count "
                    f"{told}"
                )

    def _connection(self, channel: Channel) -> Connection:
        what = f"{self._name}: {channel.topic}"
        schema = self._schemas.get(channel.schema_id)
        if channel.schema_id and schema is None:
            self.lacking.append(f"{what}: its schema is not in the file")
        msgtype = schema.name if schema else ""
        if "\ufffd" in f"{msgtype}{channel}":
            self.notes.append(f"{what}: what its channel says is {_NOT_UTF_8}")
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
