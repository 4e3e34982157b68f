"""The newest messages of a stream by their stamps, in nanoseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")

UNSET = 0
"""A stamp that says nothing about time, so that it is near to nothing and past nothing."""


def nearest(stamps: Iterable[int], stamp: int) -> int | None:
    """The one that belongs to `stamp`: the same, else the nearest, of two as near the first.

    None where there is none. Unset stamps are near to nothing but each other.
    """
    known = [other for other in stamps if (other == UNSET) == (stamp == UNSET)]
    return min(known, key=lambda other: abs(other - stamp), default=None)


class StampBuffer(Generic[Item]):
    """Messages in the order in which they came; the newest one of each stamp.

    size_of: bytes that one takes.
    """

    def __init__(self, size_of: Callable[[Item], int]) -> None:
        self.items: dict[int, Item] = {}
        self._size_of = size_of
        self._bytes = 0
        self._forgotten: tuple[int, ...] = ()  # oldest and newest stamp of those that made room

    def add(self, stamp: int, item: Item) -> None:
        self._drop(stamp)
        self.items[stamp] = item
        self._bytes += self._size_of(item)

    def trim(self, most: int, most_bytes: int) -> None:
        """Forget the oldest ones, but never the newest one."""
        while len(self.items) > 1 and (len(self.items) > most or self._bytes > most_bytes):
            oldest = next(iter(self.items))
            self._drop(oldest)
            known = (*self._forgotten, oldest)
            self._forgotten = (min(known), max(known))

    def forget_after(self, future: int) -> None:
        for stamp in [stamp for stamp in self.items if stamp > future]:
            self._drop(stamp)
        self._forgotten = ()

    def clear(self) -> None:
        self.items.clear()
        self._bytes = 0
        self._forgotten = ()

    def is_known(self, stamp: int) -> bool:
        """Whether waiting brings no better one: it is there, or the stream is past its stamp."""
        past = stamp != UNSET and any(other > stamp for other in self.items if other != UNSET)
        return stamp in self.items or past

    def find(self, stamp: int, tolerance: int) -> int | None:
        """The stamp of the very message, else of the nearest one within the tolerance."""
        found = self.nearest(stamp)
        return found if found is not None and abs(found - stamp) <= tolerance else None

    def nearest(self, stamp: int) -> int | None:
        """The stamp nearest to this one; None where there is none."""
        return nearest(self.items, stamp)

    def has_forgotten(self, stamp: int) -> bool:
        """Whether messages of that time were there."""
        return bool(self._forgotten) and self._forgotten[0] <= stamp <= self._forgotten[1]

    def _drop(self, stamp: int) -> None:
        if stamp in self.items:
            self._bytes -= self._size_of(self.items.pop(stamp))
