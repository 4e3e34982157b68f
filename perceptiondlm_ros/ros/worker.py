"""The thread that captions, so that callbacks stay short however long a frame takes."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from perceptiondlm_ros.ros.mailbox import Mailbox

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Calls `handle` with each item of `mailbox`, one after the other, until stopped.

    An exception goes to `report` and ends that item only: a bad frame must not silence the node.
    """

    def __init__(
        self,
        mailbox: Mailbox[Item],
        handle: Callable[[Item], None],
        report: Callable[[Exception], None],
    ) -> None:
        self._mailbox = mailbox
        self._handle = handle
        self._report = report
        self._stopping = False
        # A daemon, so that a hanging backend can't keep a process alive that was told to end.
        self._thread = threading.Thread(target=self._run, name="captioning", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Let the item in work finish, then end; False if that took more than `timeout` seconds."""
        self._stopping = True
        self._mailbox.wake()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            item = self._mailbox.take()
            if item is None:
                continue
            try:
                self._handle(item)
            except Exception as error:  # noqa: BLE001  (reported, and the next item is tried)
                self._report(error)
