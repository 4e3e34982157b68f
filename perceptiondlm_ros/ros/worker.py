"""The thread that captions, so that callbacks stay short however long a frame takes."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from perceptiondlm_ros.ros.mailbox import Mailbox

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Calls `handle` with each item of `mailbox`, one after the other, until stopped.

    An exception goes to `report` and ends that item only: a bad frame must not silence the node.
    Once stopped it calls `finish`, after the item in work, however long that takes.
    """

    def __init__(
        self,
        mailbox: Mailbox[Item],
        handle: Callable[[Item], None],
        report: Callable[[Exception], None],
        finish: Callable[[], None],
    ) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._report = report
        self._finish = finish
        self._stopping = False
        # A daemon, so that a hanging backend can't keep a process alive that was told to end.
        self._thread = threading.Thread(target=self._run, name="captioning", daemon=True)
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
