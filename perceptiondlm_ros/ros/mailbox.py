"""Queues that never hold anything stale, between callbacks that never wait and workers that do."""

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")
Request = TypeVar("Request")


class Mailbox(Generic[Item]):
    """A queue of one: whoever is slow gets the newest item."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._woken = False

    def put(self, item: Item) -> bool:
        """Leave `item` for the worker; True if it took the place of one that was not taken."""
        return self.exchange(item) is not None

    def exchange(self, item: Item | None) -> Item | None:
        """Leave `item`, or nothing, and return what was not taken yet."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
            return replaced

    def put_back(self, item: Item) -> bool:
        """Leave `item` only where there is none, which would be a newer one; True if it was."""
        with self._changed:
            if self._item is not None:
                return False
            self._item = item
            self._changed.notify()
            return True

    def take(self, timeout: float | None = None) -> Item | None:
        """Wait for an item and take it; None after `timeout` seconds or `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._woken, timeout)
            item, self._item, self._woken = self._item, None, False
            return item

    def clear(self) -> bool:
        """Throw away what was not taken yet; True if there was something."""
        return self.exchange(None) is not None

    def wake(self) -> None:
        """Let the present or next `take` return without an item, so that a worker can end."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()


class Desk(Mailbox[Item], Generic[Item, Request]):
    """A mailbox for a stream, with a short queue of requests beside it.

    Where both wait they are taken in turn, so that neither starves the other.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        self._places = places
        self._requests: deque[Request] = deque()
        self._request_next = True
        self._closed = False

    def ask(self, request: Request) -> bool:
        """Queue a request; False if the queue is full or was closed."""
        with self._changed:
            if len(self._requests) >= self._places or self._closed:
                return False
            self._requests.append(request)
            self._changed.notify()
            return True

    def take(self, timeout: float | None = None) -> Item | Request | None:  # type: ignore[override]
        """Wait for an item or a request and take it; None after `timeout` seconds or `wake`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._item is not None or self._requests or self._woken, timeout
            )
            self._woken = False
            if self._requests and (self._request_next or self._item is None):
                self._request_next = False
                return self._requests.popleft()
            self._request_next = True
            item, self._item = self._item, None
            return item

    def withdraw(self) -> list[Request]:
        """Take all requests out of the queue."""
        with self._changed:
            requests = list(self._requests)
            self._requests.clear()
            return requests

    def close(self) -> None:
        """Take no more requests: the worker ends."""
        with self._changed:
            self._closed = True
