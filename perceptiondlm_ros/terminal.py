"""Progress and tables for people, drawn by rich where there is a terminal."""

from __future__ import annotations

import io
import shutil
import sys
import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

from perceptiondlm_ros.text import one_line

_LINE_S = 30.0
"""Seconds between two lines in a log: few, and none where the work is soon done."""

_NARROWEST = 40  # columns of a terminal below which wrapping helps nobody
_UNLIMITED = 10**6


class Progress:
    """What is being done and how far it is, on stderr until the block ends; from any thread.

    On a terminal that is a line which is gone afterwards: a bar, or a spinner where there is no
    total. Elsewhere a line is printed every 30 s.

    Args:
        what: what is being done, such as `loading`.
        total: how much there is to do, in the numbers that `advance` gets; None: nobody knows.
        unit: what is counted, for the line.
    """

    def __init__(
        self, what: str, total: float | None = None, unit: str = "", *, line_s: float = _LINE_S
    ) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done = 0.0
        self._line_s = line_s
        self._bar: Any = None
        self._ended = threading.Event()

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        self._stream = sys.stderr
        if self._stream.isatty():
            self._bar = _bar(self._total, self._unit)
            self._bar.add_task(self._what, total=self._total or 1)
            self._bar.start()
        else:
            self._lines = threading.Thread(target=self._print_lines, daemon=True)
            self._lines.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._ended.set()
        if self._bar is None:
            self._lines.join()
        else:
            self._bar.stop()

    def now(self, what: str) -> None:
        """Name what is done from here on; the time goes on."""
        self._what = what
        self._show()

    def advance(self, amount: float = 1.0) -> None:
        """Count what has been done since the last call."""
        self._done += amount
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=self._what, completed=self._done)

    def _print_lines(self) -> None:
        while not self._ended.wait(self._line_s):
            seconds = f"{time.monotonic() - self._began:.0f} s"
            far = "" if self._total is None else f"{_of(self._done, self._total, self._unit)}, "
            print(f"{self._what}: {far}{seconds}", file=self._stream, flush=True)


def _of(done: float, total: float, unit: str) -> str:
    return f"{done:.0f} of {total:.0f} {unit}".rstrip()


def _bar(total: float | None, unit: str) -> Any:
    # Here and not above: importing it takes longer than most commands need to answer.
    from rich import progress
    from rich.console import Console

    columns: list[Any] = [
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.TimeElapsedColumn(),
    ]
    if total is not None:
        share = "{task.completed:.0f} of {task.total:.0f} " + unit
        columns[2:] = [
            progress.BarColumn(),
            progress.TextColumn(share, markup=False),
            progress.TimeRemainingColumn(),
        ]
    return progress.Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else the results would end up on stderr
        redirect_stderr=False,  # else each redraw of another bar, as of a download, gets a line
    )


def table(
    rows: Sequence[Sequence[str]], width: int | None = None, numbers: Collection[int] = ()
) -> str:
    """Rows as text, cells aligned under each other; each line ends with a line break.

    Args:
        rows: of the same number of cells each, headings among them.
        width: columns to which cells are wrapped, 0 wraps none; None: those of the terminal, if
            there is one.
        numbers: which columns are aligned to the right and never wrapped.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if width is None:
        width = shutil.get_terminal_size(fallback=(0, 0)).columns
    grid = Table.grid(padding=(0, 2))
    for column in range(len(rows[0])):
        is_number = column in numbers
        grid.add_column(
            justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for row in rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    text = io.StringIO()
    limit = max(width, _NARROWEST) if width else _UNLIMITED
    Console(file=text, width=limit, color_system=None).print(grid)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
