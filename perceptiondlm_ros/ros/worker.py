"""A thread for what takes long, so that callbacks stay short."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Taken = TypeVar("Taken", covariant=True)


class Source(Protocol[Taken]):
    """Where a worker takes its items from, such as a Mailbox."""

    def take(self) -> Taken | None:
        """Wait for an item; None after `wake`."""
        ...

    def wake(self) -> None: ...


class Worker(Generic[Item]):
    """Calls `handle` with each item of `source`, one after the other, until stopped.

    An exception goes to `report` and ends that item only: a bad frame must not silence the node.
    Once stopped it calls `finish`, after the item in work, however long that takes.
    """

    def __init__(
        self,
        source: Source[Item],
        handle: Callable[[Item], None],
        report: Callable[[Exception], None],
        finish: Callable[[], None],
        name: str = "captioning",
    ) -> None:
        self._source = source
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
        self._source.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            item = self._source.take()
            if item is not None:
                self._attempt(partial(self._handle, item))
        self._attempt(self._finish)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (reported, and the next item is tried)
            self._report(error)
