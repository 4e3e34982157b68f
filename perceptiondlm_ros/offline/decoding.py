"""Messages from the bytes of a bag, as a ROS node gets them from its middleware.

Text that is not UTF-8 has U+FFFD where it isn't, text ends at its first zero byte, and bytes after
the message are ignored. A message that claims more than it holds is refused as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import zstandard
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.storage import ZSTD

_FORMATS: Final = {
    "bool": "?",
    "byte": "B",
    "char": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_ENCAPSULATIONS: Final = {
    b"\x00\x00": (">", 8),
    b"\x00\x01": ("<", 8),
    b"\x00\x06": (">", 4),
    b"\x00\x07": ("<", 4),
}
"""Byte order and largest alignment in bytes, by how a message starts: plain CDR of either version,
in which all ROS middlewares write."""


class DamagedMessageError(InputError):
    """A message whose bytes are not what its type says."""


class _Bytes:
    """What is left to read of a message.

    order: of bytes, as struct and numpy name it.
    largest: alignment in bytes.
    """

    def __init__(self, stored: bytes) -> None:
        data = _plain(stored)
        kind = bytes(data[:2])
        if kind not in _ENCAPSULATIONS:
            told = f"starts with {kind.hex(' ')}" if kind else "is empty"
            raise DamagedMessageError(f"it {told} and is no plain CDR")
        self.order, self.largest = _ENCAPSULATIONS[kind]
        self.data = memoryview(data)[4:]
        self._position = 0

    def skip(self, size: int, count: int = 1) -> int:
        """Go past `count` values of `size` bytes; returns where they start."""
        step = min(size, self.largest)
        start = -(-self._position // step) * step
        self._position = start + size * count
        if self._position > len(self.data):
            raise DamagedMessageError(
                f"it has {len(self.data)} bytes and would need at least {self._position}"
            )
        return start

    def length(self, size: int) -> int:
        """A number of things that follow, each of at least `size` bytes."""
        (count,) = struct.unpack_from(f"{self.order}I", self.data, self.skip(4))
        left = len(self.data) - self._position
        if count * size > left:
            raise DamagedMessageError(f"it claims {count} elements in its last {left} bytes")
        return int(count)


_Read = Callable[[_Bytes], Any]


class Decoder:
    """Decodes messages of the store's types."""

    def __init__(self, store: Typestore) -> None:
        self._store = store
        self._readers: dict[str, _Read] = {}

    def decode(self, data: bytes, kind: str) -> Any:
        """The message, of the store's class. Arrays of numbers share the memory of `data`.

        Args:
            data: as a bag holds it, in CDR with its encapsulation, compressed or not.
            kind: full name of its type.

        Raises:
            DamagedMessageError: says what doesn't fit the type.
        """
        return self._message(kind)(_Bytes(data))

    def _message(self, kind: str) -> _Read:
        if kind not in self._readers:
            self._readers[kind] = self._new_message(kind)
        return self._readers[kind]

    def _new_message(self, kind: str) -> _Read:
        fields = [self._field(description) for _, description in self._store.fielddefs[kind][1]]
        cls: Any = self._store.types[kind]
        return lambda data: cls(*[read(data) for read in fields])

    def _field(self, description: Any) -> _Read:
        kind, what = description
        if kind == Nodetype.NAME:
            return self._message(what)
        if kind == Nodetype.BASE:
            return _text if what[0] == "string" else _number(what[0])
        (element, what_of), length = what
        fixed = length if kind == Nodetype.ARRAY else None
        if element == Nodetype.BASE and what_of[0] != "string":
            return _numbers(what_of[0], fixed)
        return _several(self._field((element, what_of)), fixed)


def stamp_of(data: bytes) -> tuple[int, int] | None:
    """Seconds and nanoseconds of a message that begins with a header; None: can't be read."""
    try:
        rest = _Bytes(data)
        seconds, nanoseconds = struct.unpack_from(f"{rest.order}iI", rest.data, rest.skip(1, 8))
    except DamagedMessageError:
        return None
    return seconds, nanoseconds


def _plain(data: bytes) -> bytes:
    """As it was published, where a recorder compressed it."""
    if not data.startswith(ZSTD):
        return data
    step = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = step.decompress(data)
    except zstandard.ZstdError as error:
        raise DamagedMessageError(f"its compressed data is damaged ({error})") from error
    if not step.eof:
        raise DamagedMessageError("its compressed data ends too early")
    return plain


def _text(data: _Bytes) -> str:
    length = data.length(1)
    start = data.skip(1, length)
    return bytes(data.data[start : start + length]).split(b"\0", 1)[0].decode(errors="replace")


def _number(name: str) -> _Read:
    formats = {order: struct.Struct(order + _FORMATS[name]) for order in "<>"}
    size = formats["<"].size

    def read(data: _Bytes) -> Any:
        return formats[data.order].unpack_from(data.data, data.skip(size))[0]

    return read


def _numbers(name: str, fixed: int | None) -> _Read:
    native = np.dtype(_FORMATS[name])
    types = {order: np.dtype(order + _FORMATS[name]) for order in "<>"}

    def read(data: _Bytes) -> Any:
        count = data.length(native.itemsize) if fixed is None else fixed
        start = data.skip(native.itemsize, count) if count else 0
        found = np.frombuffer(data.data, types[data.order], count, start)
        return found.astype(native, copy=False)

    return read


def _several(element: _Read, fixed: int | None) -> _Read:
    def read(data: _Bytes) -> list[Any]:
        count = data.length(1) if fixed is None else fixed
        return [element(data) for _ in range(count)]

    return read
