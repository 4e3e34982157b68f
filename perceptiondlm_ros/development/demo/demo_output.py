"""What the demo shows people: each frame a block, captions in one column, the truth in the next;
and how many captions are right."""

from __future__ import annotations

import io
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.text import one_line

ENOUGH: Final = 0.8
"""The share of captions that have to be right."""

ALL_WELL, TOO_FEW_RIGHT, NO_CAPTIONS = 0, 3, 4  # 1 and 2 are taken: Python errors, bad options

_LOG_WIDTH: Final = 200
_GAP: Final = "   "
_COLUMN: Final = 78
"""The longest caption of a scene; fixed, so that columns stay where they are between frames."""


class Verdict(NamedTuple):
    """One caption beside the truth. truth: the matched one where right, else the canonical one."""

    id: str
    caption: str
    truth: str
    right: bool


def judge(
    regions: Sequence[RegionDescription], truth: Mapping[str, Sequence[str]]
) -> list[Verdict]:
    """Hold each caption against the truth of its own track id; an unknown id is never right."""
    verdicts = []
    for region in regions:
        acceptable = truth.get(region.id, ())
        right = region.caption in acceptable
        shown = region.caption if right else next(iter(acceptable), "(no such object)")
        verdicts.append(Verdict(region.id, region.caption, shown, right))
    return verdicts


class DemoOutput:
    """Lines on a console, and on a terminal one that shows what is waited for and since when.

    Where two columns don't fit, the truth stands below a caption that is wrong and is left out
    where it would only say the same.

    Attributes:
        right, captions: how many there were so far.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _standard_output()
        self._waiting: Progress | None = None
        self.right = self.captions = self._dropped = 0
        self._ages: list[float] = []

    @property
    def status(self) -> int:
        """The exit status: ALL_WELL, TOO_FEW_RIGHT or NO_CAPTIONS."""
        if self.captions == 0:
            return NO_CAPTIONS
        return ALL_WELL if self.right >= ENOUGH * self.captions else TOO_FEW_RIGHT

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

    def frame(self, time_s: float, verdicts: Sequence[Verdict], dropped: int, age: float) -> None:
        """Print and count the captions of the frame `time_s` seconds after the demo's start.

        dropped: regions. age: seconds from the image's stamp to the publication.
        """
        right = sum(verdict.right for verdict in verdicts)
        self.right, self.captions = self.right + right, self.captions + len(verdicts)
        self._dropped += dropped
        self._ages.append(age)
        lost = f", {dropped} dropped" if dropped else ""
        head = (
            f"{time_s:6.1f} s  {right} of {len(verdicts)} right{lost}, {age:.2f} s after the image"
        )
        self.line(Text(head, style="bold"))
        names = max((len(verdict.id) for verdict in verdicts), default=0)
        for verdict in verdicts:
            self._row(verdict, names)

    def summary(self, seconds: float) -> None:
        """Print how many frames there were in this time, how often, and how old."""
        count = len(self._ages)
        frames = "1 frame" if count == 1 else f"{count} frames"
        self.line(
            f"{frames} in {seconds:.1f} s ({count / seconds:.1f} a second), half of them within "
            f"{statistics.median(self._ages):.2f} s of the image; {self._dropped} regions dropped"
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
