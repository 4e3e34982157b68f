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
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_MOST: Final = 1 << 22
_WORD: Final = 1 << 32

Sum = tuple[int, int]


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
        order = {_LITTLE: "<u4", _BIG: ">u4"}.get(magic)
        if order is None or page not in (1 << power for power in range(9, 17)):
            return LeftOut(damaged=1)
        checks = _Checks(page, order)
        if checks.of_header(head) != (first, second):
            return LeftOut(damaged=1)
        return _count(checks.frames(file, (first, second)), tuple(salts))


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
            pending = 0 if head[1] else pending + 1
    return LeftOut(damaged=damaged + pending) if damaged else LeftOut(unfinished=pending)


class _Checks:
    """Sums of pages of one size. A sum is linear in the words, so many pages are summed at once."""

    def __init__(self, page: int, order: str) -> None:
        self._page = page
        self._order = order
        self._weights, self._step = _weights((8 + page) // 8)

    def of_header(self, head: bytes) -> Sum:
        weights, _ = _weights(3)
        words = np.frombuffer(head[:24], self._order).astype(np.uint32)
        first, second = weights @ words
        return int(first), int(second)

    def frames(self, file: IO[bytes], total: Sum) -> Iterator[tuple[tuple[int, ...], bool]]:
        """Header of each frame, and whether its checksum is right; of one that is cut, no header.

        total: the sum of what comes before.
        """
        size = _FRAME.size + self._page
        while data := file.read(max(1, _MOST // size) * size):
            number = len(data) // size
            for head, added in zip(_heads(data, size), self._added(data, number), strict=True):
                total = tuple(  # type: ignore[assignment]
                    (row[0] * total[0] + row[1] * total[1] + int(plus)) % _WORD
                    for row, plus in zip(self._step, added, strict=True)
                )
                yield head, head[4:] == total
            if len(data) % size:
                yield (), False

    def _added(self, data: bytes, number: int) -> NDArray[np.uint32]:
        """What each frame adds to the sum, uint32 [number, 2]."""
        size = _FRAME.size + self._page
        rows = np.frombuffer(data[: number * size], np.uint8).reshape(number, size)
        summed = np.concatenate((rows[:, :8], rows[:, _FRAME.size :]), axis=1)
        words = summed.view(self._order).astype(np.uint32)
        added: NDArray[np.uint32] = words @ self._weights.T
        return added


def _heads(data: bytes, size: int) -> Iterator[tuple[int, ...]]:
    for at in range(0, len(data) - size + 1, size):
        yield _FRAME.unpack_from(data, at)


def _weights(pairs: int) -> tuple[NDArray[np.uint32], tuple[Sum, Sum]]:
    """How much each word counts in both sums, uint32 [2, 2 * pairs], and the sums before them.

    For each pair of words x, y: first += x + second; second += y + first.
    """
    power: tuple[Sum, Sum] = ((1, 0), (0, 1))
    found = np.empty((2, 2 * pairs), np.uint32)
    for pair in reversed(range(pairs)):
        for row, (one, two) in enumerate(power):
            found[row, 2 * pair] = (one + two) % _WORD
            found[row, 2 * pair + 1] = two
        power = tuple(  # type: ignore[assignment]
            ((one + two) % _WORD, (one + 2 * two) % _WORD) for one, two in power
        )
    return found, power
