"""Standard output for people: whole lines, and on a terminal one line that shows what goes on."""

from __future__ import annotations

import io
import os
import shutil
import sys
from typing import Final, TextIO

_ERASE: Final = "\r\x1b[K"


class Console:
    """Lines on `stream`. A waiting line is overwritten by whatever comes next."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._waiting = ""
        self.terminal = self._stream.isatty()
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="replace")  # a locale may have no check mark

    @property
    def colours(self) -> bool:
        """Whether to colour: on a terminal, unless its user does not want it."""
        return self.terminal and "NO_COLOR" not in os.environ

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where lines may have any length."""
        return shutil.get_terminal_size().columns if self.terminal else None

    def line(self, text: str) -> None:
        erase = _ERASE if self._waiting and self.terminal else ""
        self._waiting = ""
        print(f"{erase}{text}", file=self._stream, flush=True)

    def wait(self, what: str, seconds: float) -> None:
        """Show what is waited for and since when; without a terminal once for each `what`."""
        if self.terminal:
            print(f"{_ERASE}{what}: {seconds:.0f} s", end="", file=self._stream, flush=True)
        elif what != self._waiting:
            print(f"{what} …", file=self._stream, flush=True)
        self._waiting = what
