"""Messages from the bytes of a bag, as a ROS node gets them from its middleware.

Text that is not UTF-8 has U+FFFD where it isn't, text ends at its first zero byte, and bytes after
the message are ignored. A message that claims more than it holds is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import zstandard
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.stored import ZSTD

_ENCAPSULATIONS: Final[dict[bytes, tuple[Literal["<", ">"], int]]] = {
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
    """What is left to read of a message."""

    def __init__(self, stored: bytes) -> None:
        data = _plain(stored)
        kind = bytes(data[:2])
        if kind not in _ENCAPSULATIONS:
            told = f"starts with {kind.hex(' ')}" if kind else "is empty"
            raise DamagedMessageError(f"it {told} and is no plain CDR")
        self._order, self._largest = _ENCAPSULATIONS[kind]
        self._data = memoryview(data)[4:]
        self._position = 0

    def numbers(self, kind: np.dtype[Any], count: int) -> NDArray[Any]:
        """That many numbers, in the machine's byte order; where it is the message's, its memory."""
        start = self._skip(kind.itemsize, count) if count else 0
        found = np.frombuffer(self._data, kind.newbyteorder(self._order), count, start)
        return found.astype(kind, copy=False)

    def length(self, size: int) -> int:
        """A number of things that follow, each of at least `size` bytes."""
        count = int(self.numbers(_LENGTH, 1)[0])
        left = len(self._data) - self._position
        if count * size > left:
            raise DamagedMessageError(f"it claims {count} elements in its last {left} bytes")
        return count

    def text(self) -> str:
        length = self.length(1)
        start = self._skip(1, length)
        data = bytes(self._data[start : start + length])
        return data.split(b"\0", 1)[0].decode(errors="replace")

    def _skip(self, size: int, count: int) -> int:
        """Go past `count` values of `size` bytes; returns where they start."""
        step = min(size, self._largest)
        start = -(-self._position // step) * step
        self._position = start + size * count
        if self._position > len(self._data):
            raise DamagedMessageError(
                f"it has {len(self._data)} bytes and would need at least {self._position}"
            )
        return start


_LENGTH: Final = np.dtype(np.uint32)
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
            fields = [self._field(description) for _, description in self._store.fielddefs[kind][1]]
            cls: Any = self._store.types[kind]
            self._readers[kind] = lambda data: cls(*[read(data) for read in fields])
        return self._readers[kind]

    def _field(self, description: Any) -> _Read:
        kind, what = description
        if kind == Nodetype.NAME:
            return self._message(what)
        if kind == Nodetype.BASE:
            if what[0] == "string":
                return _Bytes.text
            number = _dtype(what[0])
            return lambda data: data.numbers(number, 1)[0].item()
        element, length = what
        fixed = length if kind == Nodetype.ARRAY else None
        if element[0] == Nodetype.BASE and element[1][0] != "string":
            numbers = _dtype(element[1][0])
            return lambda data: data.numbers(
                numbers, data.length(numbers.itemsize) if fixed is None else fixed
            )
        read = self._field(element)
        return lambda data: [read(data) for _ in range(data.length(1) if fixed is None else fixed)]


def stamp_of(data: bytes) -> tuple[int, int] | None:
    """Seconds and nanoseconds of a message that begins with a header; None: can't be read."""
    try:
        rest = _Bytes(data)
        (seconds,) = rest.numbers(np.dtype(np.int32), 1).tolist()
        (nanoseconds,) = rest.numbers(np.dtype(np.uint32), 1).tolist()
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


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype({"byte": "uint8", "char": "uint8"}.get(name, name))
