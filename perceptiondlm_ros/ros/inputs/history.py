"""What came on a stream in the last seconds, to be looked up by stamp."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_OUT_OF_ORDER: Final = 1_000_000_000  # ns by which stamps may step back without meaning it


class History(Generic[Item]):
    """The newest `most` items; one thread may add while another looks up."""

    def __init__(self, most: int) -> None:
        self._items: deque[tuple[int, Item]] = deque(maxlen=most)
        self._lock = Lock()

    def add(self, stamp: int, item: Item) -> None:
        """Keep an item with its stamp in ns.

        A stamp well before the last one means that the clock was set back, as by a bag that starts
        anew: then what came before is forgotten.
        """
        with self._lock:
            if self._items and stamp < self._items[-1][0] - _OUT_OF_ORDER:
                self._items.clear()
            self._items.append((stamp, item))

    def nearest(self, stamp: int, tolerance: int) -> Item | None:
        """The item with the nearest stamp, if that is within `tolerance` ns."""
        with self._lock:
            if not self._items:
                return None
            found, item = min(self._items, key=lambda entry: abs(entry[0] - stamp))
        return item if abs(found - stamp) <= tolerance else None

    def clear(self) -> None:
        with self._lock:
            self._items.clear()
