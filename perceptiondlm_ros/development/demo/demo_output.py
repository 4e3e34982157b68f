"""What the demo shows people: each frame a block, captions in one column, the truth in the next."""

from __future__ import annotations

import io
import statistics
import sys
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from perceptiondlm_ros.development.demo.scoring import FrameVerdict, Tally, Verdict
from perceptiondlm_ros.text import one_line

_LOG_WIDTH: Final = 200
_GAP: Final = "   "
_COLUMN: Final = 78
"""The longest caption of a scene; fixed, so that columns stay where they are between frames."""


class DemoOutput:
    """Lines on a console, and on a terminal one that shows what is waited for and since when.

    Where two columns don't fit, the truth stands below a caption that is wrong and is left out
    where it would only say the same.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _standard_output()
        self._waiting: Progress | None = None

    def wait_for(self, what: str) -> None:
        """Show what is waited for until the next line; without a terminal as a line."""
        self.stop_waiting()
        if not self._console.is_terminal:
            self.line(f"{what} …")
            return
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._waiting = Progress(*columns, console=self._console, transient=True)
        self._waiting.add_task(what, total=None)
        self._waiting.start()

    def stop_waiting(self) -> None:
        """Take away what is waited for."""
        if self._waiting:
            self._waiting.stop()
            self._waiting = None

    def line(self, text: str | Text) -> None:
        """Print one line, however long it is."""
        self.stop_waiting()
        self._console.print(text, markup=False, soft_wrap=True)

    def frame(self, time_s: float, frame: FrameVerdict) -> None:
        """Print the captions of the frame `time_s` seconds after the demo's start."""
        dropped = f", {frame.dropped} dropped" if frame.dropped else ""
        head = (
            f"{time_s:6.1f} s  {frame.right} of {len(frame.verdicts)} right{dropped}, "
            f"{frame.age:.2f} s after the image"
        )
        self.line(Text(head, style="bold"))
        names = max((len(verdict.id) for verdict in frame.verdicts), default=0)
        for verdict in frame.verdicts:
            self._row(verdict, names)

    def summary(self, tally: Tally, seconds: float) -> None:
        """Print how many frames there were, how often, and how old."""
        count = len(tally.frames)
        frames = "1 frame" if count == 1 else f"{count} frames"
        age = statistics.median(frame.age for frame in tally.frames)
        dropped = sum(frame.dropped for frame in tally.frames)
        self.line(
            f"{frames} in {seconds:.1f} s ({count / seconds:.1f} a second), "
            f"half of them within {age:.2f} s of the image; {dropped} regions dropped"
        )

    def _row(self, verdict: Verdict, names: int) -> None:
        mark = ("✓", "green") if verdict.right else ("✗", "red")
        start = f" {verdict.id:>{names}}  "
        caption, truth = one_line(verdict.caption), (verdict.truth, "dim")
        if 3 + len(start) + 2 * _COLUMN + len(_GAP) <= self._console.width:
            self.line(Text.assemble("  ", mark, start, f"{caption:<{_COLUMN}}{_GAP}", truth))
            return
        self.line(Text.assemble("  ", mark, start, caption))
        if not verdict.right:
            self.line(Text.assemble(" " * (3 + len(start)), truth))


def _standard_output() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale may have no check mark
    return Console(width=None if sys.stdout.isatty() else _LOG_WIDTH, highlight=False)
