"""Where everything that happens in the node is told: counts, its state, and lines of the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Protocol

from perceptiondlm_ros.ros.health.faults import Fault, Level
from perceptiondlm_ros.ros.health.status import Status

_LOSSES_PERIOD = 10.0
"""Seconds between lines about what was lost."""


# Reasons hold sizes, and a camera may send any number of those.
_REASONS_KEPT = 20
_OTHER_REASON = "for other reasons"


def _lost(words: str) -> int:
    """A counter of something that was lost or out of order, with the words for it."""
    return field(default=0, metadata={"words": words})


@dataclass
class Counters:
    """Written by `Monitor` alone.

    What is lost is counted by its cause, so that `detections` equals the sum of all that became of
    them once nothing is pending or in work.
    """

    images: int = 0
    masks: int = 0
    detections: int = 0  # messages, as everywhere below unless regions are named
    matched_exact: int = 0
    matched_nearest: int = 0
    images_forgotten: int = 0  # of the unmatched: those that came when their image was gone
    images_of_low_bits: int = 0  # nearly black ones, see messages/bit_depth.py
    low_bits: int = 0  # of the last of these
    clock_jumps: int = 0  # backward by more than the streams can be out of order
    last_gap: float | None = None  # seconds from the last unmatched detections to the nearest image
    frames_captioned: int = 0  # those that had a pass of the model
    frames_reused: int = 0  # those published with captions of earlier frames alone
    requests_served: int = 0
    regions_captioned: int = 0
    regions_reused: int = 0
    drop_reasons: Counter[str] = field(default_factory=Counter)  # in words → regions

    unmatched: int = _lost("detections without an image within the tolerance")
    masks_missing: int = _lost("frames without the masks that were wanted")
    replaced: int = _lost("frames replaced by newer ones before they were looked at")
    frames_skipped: int = _lost("frames replaced by newer ones before the model was free")
    withdrawn: int = _lost("detections withdrawn by a deactivation or a clock jump")
    frames_failed: int = _lost("frames with an unreadable image or a failed pass")
    frames_discarded: int = _lost("frames not published because the node was deactivated meanwhile")
    frames_late: int = _lost("frames older than one that came before them")
    requests_refused: int = _lost("requests to describe refused")
    regions_dropped: int = _lost("regions without a caption")
    regions_unplaced: int = _lost("regions without a marker, beyond what the lens shows")
    unset_stamps: int = _lost("messages without a stamp")
    backward_stamps: int = _lost("messages older than the one before")

    def add_dropped(self, reasons: Mapping[str, int]) -> None:
        """Count regions that get no caption, by the reason in words."""
        for reason, regions in reasons.items():
            known = reason in self.drop_reasons or len(self.drop_reasons) < _REASONS_KEPT
            self.drop_reasons[reason if known else _OTHER_REASON] += regions
            self.regions_dropped += regions

    def by_cause(self) -> dict[str, int]:
        """How often each cause, in words, lost something or put it out of order; 0 where never."""
        lost = (counter for counter in fields(self) if counter.metadata)
        return {counter.metadata["words"]: getattr(self, counter.name) for counter in lost}

    def losses(self) -> str:
        """Every cause by which something was lost or out of order, in words; empty if none."""
        return ", ".join(f"{count} {words}" for words, count in self.by_cause().items() if count)


class Logger(Protocol):
    """What is needed of rclpy's."""

    def info(self, message: str) -> object: ...
    def warning(self, message: str) -> object: ...
    def error(self, message: str) -> object: ...


class Throttle:
    """Lets one line through in a `period` of seconds for each cause, with how many it held back."""

    def __init__(self, period: float = 5.0, now: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._now = now
        self._causes: dict[str, tuple[float, int]] = {}  # cause → last written, held back since

    def __call__(self, cause: str, line: str) -> str:
        """The line to be written; empty if one of this `cause` was written just before."""
        now = self._now()
        written, held = self._causes.get(cause, (None, 0))
        if written is not None and now - written < self._period:
            self._causes[cause] = (written, held + 1)
            return ""
        self._causes[cause] = (now, 0)
        return f"{line} ({held} more like it before)" if held else line


class Monitor:
    """Every method may be called from any thread and returns at once."""

    def __init__(self, logger: Logger, now: Callable[[], float] = time.monotonic) -> None:
        self.counters = Counters()
        self.status = Status(now)
        self._logger = logger
        self._now = now
        self._throttle = Throttle(now=now)
        self._lock = Lock()  # a worker that did not end in time counts beside its successor
        self._losses_due = now()
        self._losses_told = self._losses_summed = ""

    def count(self, **more: int) -> None:
        """Add to counters, by their names."""
        with self._lock:
            for name, number in more.items():
                setattr(self.counters, name, getattr(self.counters, name) + number)

    def report(self, fault: Fault) -> None:
        """Count what is lost by it, keep it for diagnostics, and tell the log."""
        self.count(**fault.counts)
        with self._lock:
            self.counters.add_dropped(fault.dropped)
            vars(self.counters).update(fault.latest)
        if fault.failure:
            self.status.failed(fault.failure)
        if fault.unreadable:
            self.status.unreadable(fault.unreadable)
        if fault.level is Level.WARN:
            self.warn(fault.cause, fault.line)
        else:
            self.tell(fault.level, fault.line)

    def warn(self, cause: str, line: str) -> None:
        """Write a line, unless one of this `cause` (a fixed word) was written just before."""
        if line and (told := self._throttle(cause, line)):
            self.tell(Level.WARN, told)

    def tell(self, level: Level, line: str) -> None:
        """Write a line."""
        # rclpy refuses one severity after another from the same line of code.
        if level is Level.OK:
            self._logger.info(line)
        elif level is Level.ERROR:
            self._logger.error(line)
        else:
            self._logger.warning(line)

    def tell_losses(self, at_the_end: bool = False) -> None:
        """Write what was lost so far in one line, only if it is more than was last written.

        On the way at most one line in ten seconds; at the end the sum at once, but not twice.
        """
        losses = self.counters.losses()
        if at_the_end:
            due = losses != self._losses_summed
            self._losses_summed = losses
        else:
            due = losses != self._losses_told and self._now() >= self._losses_due
        if due:
            self._losses_told, self._losses_due = losses, self._now() + _LOSSES_PERIOD
            self.tell(Level.OK, f"lost or out of order so far: {losses}")
