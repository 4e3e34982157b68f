"""What of an SQLite write-ahead log SQLite itself leaves out, which it doesn't tell.

A log is a header and frames, each with a page of the database, two salts that all frames of one
round share, and a checksum over everything before it. SQLite takes the pages up to the last commit
before the first frame that is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_BYTE_ORDERS: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""Of the words that are summed, by the number that a log begins with."""

_PAGES: Final = tuple(1 << power for power in range(9, 17))

Checksum = NDArray[np.uint32]
"""Two sums, uint32 [2]."""


class LeftOut(NamedTuple):
    """Pages of a log that SQLite doesn't take.

    damaged: from the first one that is damaged or cut off, and those of its transaction before it.
    unfinished: whole ones of a transaction that never ended, where none is damaged.
    """

    damaged: int = 0
    unfinished: int = 0


def left_out(path: Path) -> LeftOut:
    """What SQLite leaves out of a log.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return LeftOut(damaged=int(bool(head)))
        magic, _, page, _, *salts, first, second = _HEADER.unpack(head)
        order = _BYTE_ORDERS.get(magic)
        if order is None or page not in _PAGES:
            return LeftOut(damaged=1)
        total = _added(np.zeros(2, np.uint32), head[:24], order, _weights(24))
        if total.tolist() != [first, second]:
            return LeftOut(damaged=1)
        return _count(_frames(file, page, order, total), tuple(salts))


def _count(frames: Iterator[tuple[tuple[int, ...], bool]], salts: tuple[int, ...]) -> LeftOut:
    pending = damaged = earlier = 0
    for head, whole in frames:
        if head and head[2:4] != salts:
            earlier += 1  # of an earlier round; or damaged, if more of this one follows
        elif earlier and not head:
            break
        elif damaged or earlier or not whole:
            damaged += 1 + earlier
            earlier = 0
        else:
            commits = head[1]
            pending = 0 if commits else pending + 1
    return LeftOut(damaged=damaged + pending) if damaged else LeftOut(unfinished=pending)


def _frames(
    file: IO[bytes], page: int, order: str, total: Checksum
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Header of each frame, and whether its checksum is right; of one that is cut, no header."""
    weights = _weights(8 + page)
    while data := file.read(_FRAME.size + page):
        if len(data) < _FRAME.size + page:
            yield (), False
            return
        head = _FRAME.unpack_from(data)
        total = _added(total, data[:8] + data[_FRAME.size :], order, weights)
        yield head, total.tolist() == list(head[4:])


def _added(total: Checksum, data: bytes, order: str, weights: NDArray[np.uint32]) -> Checksum:
    """A checksum after more data."""
    words = np.frombuffer(data, order).astype(np.uint32)
    added: Checksum = weights @ np.concatenate((total, words))
    return added


def _weights(size: int) -> NDArray[np.uint32]:
    """How much the sums before and each word count in the sums after so many bytes, modulo 2^32.

    For each pair of words x, y: first += x + second; second += y + first. That is linear.
    """
    words = size // 4
    power = np.eye(2, dtype=np.uint32)
    found = np.empty((2, 2 + words), np.uint32)
    for place in range(words, 0, -2):
        found[:, place : place + 2] = power @ np.array([[1, 0], [1, 1]], np.uint32)
        power = power @ np.array([[1, 1], [1, 2]], np.uint32)
    found[:, :2] = power
    return found
