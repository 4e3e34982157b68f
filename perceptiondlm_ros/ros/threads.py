"""Worker threads for what takes long, and what callbacks, which never wait, leave for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A queue of one that never holds anything stale: whoever is slow gets the newest item.

    Beside it there may be a short queue of requests of any type, none of which is replaced. Where
    an item and requests wait they are taken in turn, so that neither starves the other.
    """

    def __init__(self, most_requests: int = 0) -> None:
        self._most_requests = most_requests
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._requests: deque[Any] = deque()
        self._request_next = True
        self._woken = self._closed = False

    def put(self, item: Item | None) -> Item | None:
        """Leave `item`, None for nothing, and return what was not taken yet."""
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

    def ask(self, request: Any) -> bool:
        """Queue a request; False if the queue is full or was closed."""
        with self._changed:
            if len(self._requests) >= self._most_requests or self._closed:
                return False
            self._requests.append(request)
            self._changed.notify()
            return True

    def take(self, timeout: float | None = None) -> Item | Any | None:
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

    def withdraw_requests(self) -> list[Any]:
        """Take all requests out of the queue."""
        with self._changed:
            requests = list(self._requests)
            self._requests.clear()
            return requests

    def wake(self) -> None:
        """Let the present or next `take` return without an item, so that a worker can end."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more requests: the worker ends."""
        with self._changed:
            self._closed = True


class WorkerThread:
    """A thread that calls `handle` with each item of a mailbox, one after the other, until stopped.

    An exception goes to `report` and ends that item only: a bad frame must not silence the node.
    Once stopped it calls `finish`, after the item in work, however long that takes.
    """

    def __init__(
        self,
        mailbox: Mailbox[Any],
        handle: Callable[[Any], None],
        report: Callable[[Exception], None],
        finish: Callable[[], None] = lambda: None,
        name: str = "captioning",
    ) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._report = report
        self._finish = finish
        self._stopping = False
        # A daemon, so that a hanging backend can't keep a process alive that was told to end.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Let the item in work finish, then end; False if that takes over `timeout` seconds."""
        self._stopping = True
        self._mailbox.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            item = self._mailbox.take()
            if item is not None:
                self._attempt(partial(self._handle, item))
        self._attempt(self._finish)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (reported, and the next item is tried)
            self._report(error)
