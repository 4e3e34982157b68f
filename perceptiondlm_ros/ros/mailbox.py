"""A queue of one: whoever is slow gets the newest item, never a stale one."""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Hands items from callbacks, which never wait, to one worker, which does."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._woken = False

    def put(self, item: Item) -> bool:
        """Leave `item` for the worker; True if it took the place of one that was not taken."""
        with self._changed:
            replaced = self._item is not None
            self._item = item
            self._changed.notify()
            return replaced

    def take(self, timeout: float | None = None) -> Item | None:
        """Wait for an item and take it; None after `timeout` seconds or `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._woken, timeout)
            item, self._item, self._woken = self._item, None, False
            return item

    def clear(self) -> bool:
        """Throw away what was not taken yet; True if there was something."""
        with self._changed:
            had, self._item = self._item is not None, None
            return had

    def wake(self) -> None:
        """Let the present or next `take` return without an item, so that a worker can end."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
