"""Lines for people: each frame a block, captions in one column, the truth in the next."""

from __future__ import annotations

import statistics
from typing import Final

from perceptiondlm_ros.development.demo.scoring import FrameVerdict, Tally, Verdict
from perceptiondlm_ros.text import one_line

_GAP: Final = "   "
_COLUMN: Final = 78
"""The longest caption of a scene; fixed, so that columns stay where they are between frames."""

_GREEN, _RED, _DIM, _BOLD, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


class Report:
    """Formats for one output. colours: it is a terminal. width: its columns, None is any width.

    Where two columns don't fit, the truth stands below a caption that is wrong and is left out
    where it would only say the same.
    """

    def __init__(self, colours: bool = False, width: int | None = None) -> None:
        self._colours = colours
        self._width = width

    def block(self, time_s: float, frame: FrameVerdict) -> list[str]:
        """Lines for the frame `time_s` seconds after the demo's start."""
        dropped = f", {frame.dropped} dropped" if frame.dropped else ""
        head = (
            f"{time_s:6.1f} s  {frame.right} of {len(frame.verdicts)} right{dropped}, "
            f"{frame.age:.2f} s after the image"
        )
        names = max((len(verdict.id) for verdict in frame.verdicts), default=0)
        needed = 2 + 2 + names + 2 + _COLUMN + len(_GAP) + _COLUMN
        wide = self._width is None or needed <= self._width
        lines = [self._paint(_BOLD, head)]
        for verdict in frame.verdicts:
            lines += self._row(verdict, names, wide)
        return lines

    def summary(self, tally: Tally, seconds: float) -> str:
        """What there is to say before the last line."""
        rate = tally.frames / seconds if seconds > 0 else 0.0
        age = statistics.median(tally.ages) if tally.ages else 0.0
        frames = "1 frame" if tally.frames == 1 else f"{tally.frames} frames"
        return (
            f"{frames} in {seconds:.1f} s ({rate:.1f} a second), "
            f"half of them within {age:.2f} s of the image; {tally.dropped} regions dropped"
        )

    def _row(self, verdict: Verdict, names: int, wide: bool) -> list[str]:
        mark = self._paint(_GREEN, "✓") if verdict.right else self._paint(_RED, "✗")
        start = f"  {mark} {verdict.id:>{names}}  "
        caption = one_line(verdict.caption)
        if wide:
            truth = self._paint(_DIM, verdict.truth)
            return [f"{start}{caption:<{_COLUMN}}{_GAP}{truth}"]
        if verdict.right:
            return [f"{start}{caption}"]
        below = f"  {'':{names}}    {verdict.truth}"
        return [f"{start}{caption}", self._paint(_DIM, below)]

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text
