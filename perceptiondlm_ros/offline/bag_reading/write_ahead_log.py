"""What of an SQLite write-ahead log SQLite itself leaves out, which it doesn't tell.

A log is a header and frames, each with a page of the database, two salts that all frames of one
round share, and a checksum over everything before it. SQLite takes the pages up to the last commit
before the first frame that is damaged.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER: Final = struct.Struct(">8I")
_BYTE_ORDERS: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""Of the words that are summed, by the number that a log begins with."""

_PAGES: Final = tuple(1 << power for power in range(9, 17))
_AT_ONCE: Final = 1 << 20
"""Bytes of frames whose checksums are computed together."""


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
        stated = np.array([[first, second]], np.uint32)
        words = np.frombuffer(head, order, 6)[None]
        if (_checksums(np.zeros_like(stated), words) != stated).any():
            return LeftOut(damaged=1)
        # The head: number of the page, size of the database at a commit else 0, salts, checksum.
        kind = np.dtype([("head", ">u4", 6), ("page", order, page // 4)])
        commits, of_this_round, whole, cut = [], [], [], 0
        while data := file.read(max(_AT_ONCE // kind.itemsize, 1) * kind.itemsize):
            number, cut = divmod(len(data), kind.itemsize)
            frames: Any = np.frombuffer(data, kind, number)
            before = np.concatenate([stated[-1:], frames["head"][:, 4:]])[:number]
            stated = frames["head"][:, 4:]
            summed = np.ascontiguousarray(frames["head"][:, :2]).view(order)
            words = np.concatenate([summed, frames["page"]], axis=1)
            whole += (_checksums(before, words) == stated).all(axis=1).tolist()
            of_this_round += (frames["head"][:, 2:4] == salts).all(axis=1).tolist()
            commits += frames["head"][:, 1].tolist()
    return _counted(commits, of_this_round, whole, bool(cut))


def _counted(
    commits: list[int], of_this_round: list[bool], whole: list[bool], cut: bool
) -> LeftOut:
    """cut: whether a part of a frame follows."""
    pending = damaged = earlier = 0
    for commit, right, of_this in zip(commits, whole, of_this_round, strict=True):
        if not of_this:
            earlier += 1  # of an earlier round; or damaged, if more of this one follows
        elif damaged or earlier or not right:
            damaged += 1 + earlier
            earlier = 0
        else:
            pending = 0 if commit else pending + 1
    damaged += cut and not earlier
    return LeftOut(damaged=damaged + pending) if damaged else LeftOut(unfinished=pending)


def _checksums(before: NDArray[np.uint32], words: NDArray[Any]) -> NDArray[np.uint32]:
    """The two sums of each row, uint32 [rows, 2]: those before it, and its words added."""
    first, second = before.T.copy()
    pairs = words.T.astype(np.uint32, order="C").reshape(words.shape[1] // 2, 2, len(words))
    for word, following in pairs:
        first += word + second
        second += following + first
    return np.stack([first, second], axis=1)
