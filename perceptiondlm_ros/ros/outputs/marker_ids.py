"""Numbers of markers: the same one for an object as long as it is there, and its end told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

_MOST: Final = 2**31 - 1  # a marker's id is an int32


class MarkerIds:
    """Gives each object a number when it first comes, and tells which ones are gone."""

    def __init__(self) -> None:
        self._ids: dict[Hashable, int] = {}
        self._next = 0

    def update(self, keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
        """The numbers of the objects that are there now, and those of objects that are gone.

        A key that comes twice stands for one object each time.
        """
        present: dict[Hashable, int] = {}
        times: Counter[Hashable] = Counter()
        for key in keys:
            times[key] += 1
            found = self._ids.get((key, times[key]))
            present[key, times[key]] = self._new() if found is None else found
        gone = [number for key, number in self._ids.items() if key not in present]
        self._ids = present
        return list(present.values()), gone

    def clear(self) -> None:
        self._ids = {}

    def _new(self) -> int:
        number, self._next = self._next, (self._next + 1) % _MOST
        return number
