"""Records of an MCAP file, each checked before anything of it is used."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, Final

import lz4.frame  # type: ignore[import-untyped]
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, ChunkIndex, Metadata, Schema, Statistics

from perceptiondlm_ros.offline.bag_reading.stored import Extra

MAGIC: Final = b"\x89MCAP0\r\n"
"""What a file begins and ends with."""

HEAD: Final = struct.Struct("<BQ")
"""What a record begins with: its opcode, and the length in bytes of what follows."""

MESSAGE_HEAD: Final = struct.Struct("<HIQQ")
"""What a message begins with: channel, sequence, log time and time of publishing in ns."""

_FOOTER_SIZE: Final = 20
_CUT: Final = (
    "as when a recording was interrupted or a copy is not complete; `mcap recover` makes a whole "
    "file of what is there"
)
_READERS: Final = {
    Opcode.SCHEMA: Schema.read,
    Opcode.CHANNEL: Channel.read,
    Opcode.CHUNK: Chunk.read,
    Opcode.CHUNK_INDEX: ChunkIndex.read,
    Opcode.ATTACHMENT: Attachment.read,
    Opcode.METADATA: Metadata.read,
    Opcode.STATISTICS: Statistics.read,
}


class DamagedRecordError(Exception):
    """Says what is wrong with a record."""


class _Fields(ReadDataStream):
    """The fields of a record. Text that is not UTF-8 has U+FFFD where it isn't."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data))
        self._length = len(data)

    def read(self, length: int) -> bytes:
        if length > self._length - self.count:
            raise DamagedRecordError(f"a field of {length} bytes is longer than its record")
        return super().read(length)

    def read_prefixed_string(self) -> str:
        return self.read(self.read4()).decode(errors="replace")


def parse(opcode: int, data: bytes) -> Any:
    """The record of an opcode, of the class in `mcap.records`.

    Raises:
        DamagedRecordError: its fields don't fit its length.
    """
    try:
        return _READERS[Opcode(opcode)](_Fields(data))
    except UnicodeDecodeError as error:  # the name of a compression
        raise DamagedRecordError(str(error)) from error


def parse_extra(opcode: int, data: bytes) -> Extra:
    """An attachment or metadata, with its checksum tested."""
    found: Extra = parse(opcode, data)
    if opcode == Opcode.ATTACHMENT:
        _test_checksum(data[:-4], int.from_bytes(data[-4:], "little"))
    return found


def parse_chunk(data: bytes) -> tuple[bytes, str]:
    """The records in a chunk, decompressed and with their checksum tested, and its compression."""
    chunk: Chunk = parse(Opcode.CHUNK, data)
    plain = _decompressed(chunk)
    if len(plain) != chunk.uncompressed_size:
        raise DamagedRecordError(f"it has {len(plain)} bytes instead of {chunk.uncompressed_size}")
    _test_checksum(plain, chunk.uncompressed_crc)
    return plain, chunk.compression


def record_at(file: IO[bytes], at: int, size: int) -> tuple[int, int, int]:
    """Opcode, offset and length of the record that begins at an offset of a file of `size` bytes.

    Raises:
        DamagedRecordError: it is not whole.
    """
    file.seek(at)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        what = "ends in the middle of a record" if head else "has no end"
        raise DamagedRecordError(f"it {what}, {_CUT}")
    opcode, length = HEAD.unpack(head)
    if opcode == 0:
        raise DamagedRecordError("a zero is where a record should begin, as after a power failure")
    if at + HEAD.size + length > size:
        raise DamagedRecordError(
            f"it ends in the middle of a record, or the length of the record is damaged, {_CUT}"
        )
    return opcode, at + HEAD.size, length


def check_end(file: IO[bytes], end: int, size: int) -> None:
    """Hold a file of `size` bytes to its end, which is that of its last record."""
    file.seek(end)
    if file.read(len(MAGIC)) != MAGIC:
        raise DamagedRecordError(f"its last bytes are not those of an MCAP file, {_CUT}")
    if more := size - end - len(MAGIC):
        raise DamagedRecordError(
            f"it ends here, and {more} bytes follow, which are not read: is another file appended?"
        )


def records_in(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, offset and length of each record in a chunk, in several messages or in a summary."""
    at = 0
    while at < len(data):
        if at + HEAD.size > len(data):
            raise DamagedRecordError("it ends in the middle of a record")
        opcode, length = HEAD.unpack_from(data, at)
        at += HEAD.size
        too_short = opcode == Opcode.MESSAGE and length < MESSAGE_HEAD.size
        if not opcode or length > len(data) - at or too_short:
            raise DamagedRecordError("a record in it has a wrong length or kind")
        yield opcode, at, length
        at += length


def indexed_chunks(file: IO[bytes]) -> list[int]:
    """Offsets of the chunks by the index at the end of a file, ascending; none if it is damaged."""
    try:
        end = file.seek(-len(MAGIC), os.SEEK_END)
        file.seek(-HEAD.size - _FOOTER_SIZE, os.SEEK_CUR)
        if HEAD.unpack(file.read(HEAD.size)) != (Opcode.FOOTER, _FOOTER_SIZE):
            return []
        start = file.seek(int.from_bytes(file.read(8), "little"))
        summary = file.read(max(end - start, 0))
        return sorted(
            parse(opcode, summary[at : at + length]).chunk_start_offset
            for opcode, at, length in records_in(summary)
            if opcode == Opcode.CHUNK_INDEX
        )
    except (DamagedRecordError, OSError, OverflowError, ValueError, struct.error):
        return []


def _test_checksum(data: bytes, stated: int) -> None:
    """stated: 0 where the file has none."""
    if stated and zlib.crc32(data) != stated:
        raise DamagedRecordError("its checksum is wrong")


def _decompressed(chunk: Chunk) -> bytes:
    try:
        if chunk.compression == "zstd":
            size = chunk.uncompressed_size
            return zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=size)
        if chunk.compression == "lz4":
            return bytes(lz4.frame.decompress(chunk.data))
    except (zstandard.ZstdError, RuntimeError, MemoryError, OverflowError, ValueError) as error:
        raise DamagedRecordError(f"its {chunk.compression} data is damaged ({error})") from error
    if chunk.compression:
        raise DamagedRecordError(
            f"it is compressed with {chunk.compression!r}; known here are lz4 and zstd"
        )
    return chunk.data
