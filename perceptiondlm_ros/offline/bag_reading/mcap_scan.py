"""One pass over a whole MCAP file, which is read without trusting what it says about itself.

Every chunk is decompressed and its checksum tested, and what is found is held against the file's
own statistics. So it doesn't matter whether there is an index, and a file that was cut off is read
as far as it goes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import IO, Any, Final, NamedTuple

from mcap.opcode import Opcode
from mcap.records import Channel, Schema

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

NOT_UTF_8: Final = "not all UTF-8, and is written with U+FFFD"
_CUT: Final = (
    "as when a recording was interrupted or a copy is not complete; `mcap recover` makes a whole "
    "file of what is there"
)
_RUN: Final = 1 << 20
"""Bytes of messages outside of chunks that are read at once."""


class Extent(NamedTuple):
    """A chunk, or a run of messages outside of chunks, and the log times in it."""

    at: int
    length: int
    first_ns: int
    last_ns: int
    chunk: bool


class McapScan:
    """What is in an MCAP file, and where.

    schemas, channels: by their ids. counts: messages by the id of their channel.
    extras: opcode, offset and length of each attachment and metadata.
    compression: of the chunks: "", "lz4" or "zstd".
    lacking: what of it can't be read, a sentence each. notes: what else is to be told.

    Args:
        name: what messages call the file.
        step: is called with the bytes that were read.

    Raises:
        InputError: the file can't be read.
    """

    def __init__(self, file: IO[bytes], name: str, step: Callable[[int], object]) -> None:
        self.name = name
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[int] = Counter()
        self.extents: list[Extent] = []
        self.extras: list[tuple[int, int, int]] = []
        self.compression = ""
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self._stated: dict[int, int] | None = None
        self._ended = False
        self._scan(step)
        self._compare_counts()

    def read(self, at: int, length: int) -> bytes:
        try:
            self._file.seek(at)
            return self._file.read(length)
        except OSError as error:
            raise InputError(f"{self.name}: can't be read: {error}") from error

    def _scan(self, step: Callable[[int], object]) -> None:
        at = len(MAGIC)
        while not self._ended:
            try:
                end = self._take(at)
                step(end - at)
                at = end
            except DamagedRecordError as error:
                self.lacking.append(f"{self.name}: at byte {at} of {self._size}: {error}")
                at = next((c for c in indexed_chunks(self._file) if at < c < self._size), 0)
                if not at:
                    return

    def _take(self, at: int) -> int:
        """Take in the record at an offset, and return the offset of the next."""
        head = self.read(at, HEAD.size)
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
            self._take_message(at, self.read(start, length))
        elif opcode in (Opcode.ATTACHMENT, Opcode.METADATA):
            self._take_extra(opcode, start, length)
        elif opcode == Opcode.FOOTER:
            self._test_end(end)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS):
            self._take_small(opcode, self.read(start, length))
        return end

    def _test_end(self, end: int) -> None:
        """end: offset after the last record."""
        self._ended = True
        if self.read(end, len(MAGIC)) != MAGIC:
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
        known: dict[int, Any] = self.schemas if opcode == Opcode.SCHEMA else self.channels
        if known.setdefault(found.id, found) != found:
            raise DamagedRecordError(f"schema or channel {found.id} is there twice and differs")

    def _take_chunk(self, start: int, length: int) -> None:
        """Take in a chunk as a whole or, where it is damaged, not at all."""
        try:
            data, compression = parse_chunk(self.read(start, length))
            records = list(records_in(data))
        except DamagedRecordError as error:
            at = start - HEAD.size
            self.lacking.append(f"{self.name}: the chunk at byte {at} can't be read: {error}")
            return
        self.compression = self.compression or compression
        times = []
        for opcode, inside, size in records:
            if opcode == Opcode.MESSAGE:
                times.append(self._count(data, inside))
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._take_small(opcode, data[inside : inside + size])
        if times:
            self.extents.append(Extent(start, length, min(times), max(times), True))

    def _take_message(self, at: int, data: bytes) -> None:
        if len(data) < MESSAGE_HEAD.size:
            raise DamagedRecordError("a message is too short")
        log_ns = self._count(data, 0)
        run = Extent(at, HEAD.size + len(data), log_ns, log_ns, False)
        last = self.extents[-1] if self.extents else None
        if last and not last.chunk and last.at + last.length == at:
            length = last.length + run.length
            if length <= _RUN:
                times = (min(last.first_ns, log_ns), max(last.last_ns, log_ns))
                run = Extent(last.at, length, *times, False)
                self.extents.pop()
        self.extents.append(run)

    def _count(self, data: bytes, at: int) -> int:
        """Count the message at an offset, and return its log time."""
        channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(data, at)
        self.counts[channel] += 1
        return int(log_ns)

    def _take_extra(self, opcode: int, start: int, length: int) -> None:
        what = f"{self.name}: the {Opcode(opcode).name.lower()} at byte {start} is"
        try:
            found = parse_extra(opcode, self.read(start, length))
        except DamagedRecordError as error:
            self.lacking.append(f"{what} damaged: {error}")
            return
        self.extras.append((opcode, start, length))
        texts = {name: value for name, value in vars(found).items() if name != "data"}
        if "\ufffd" in str(texts):
            self.notes.append(f"{what} {NOT_UTF_8}")

    def _compare_counts(self) -> None:
        """Hold what was found against what the file says that it holds."""
        stray = sum(n for channel, n in self.counts.items() if channel not in self.channels)
        if stray:
            self.lacking.append(f"{self.name}: messages of no channel: {stray}")
        if self._stated is None:
            return
        for number in sorted({*self._stated, *self.counts}):
            found, stated = self.counts[number], self._stated.get(number, 0)
            if found != stated:
                channel = self.channels.get(number)
                topic = channel.topic if channel else f"channel {number}"
                self.lacking.append(
                    f"{self.name}: {topic}: {found} messages can be read; its statistics count "
                    f"{stated}"
                )
