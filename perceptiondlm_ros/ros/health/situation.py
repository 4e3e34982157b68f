"""What can be seen of the node at one time. Nothing here knows ROS."""

from __future__ import annotations

from dataclasses import dataclass

from perceptiondlm_ros.ros.health.status import Activity


@dataclass(frozen=True)
class Input:
    """One topic that the node takes.

    mismatches: for each publisher that can't be heard, why and what to do about it.
    elsewhere: other topics of its type that somebody publishes, looked for where nobody does here.
    age: seconds since its last message in this activation; None while none came.
    """

    topic: str
    publishers: int = 0
    mismatches: tuple[str, ...] = ()
    age: float | None = None
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """What can be seen of the node at one time. Durations are in seconds.

    activity, activity_for, detail: what the node does, since when, and what more is known of that.
    error: what the newest transition or pass failed with, empty if it went well; failures: how many
        failed one after the other.
    pass_for: since when the pass in work runs, 0 if none does; pass_usual: what is usual.
    masks: the same as images for the stream of masks; None where none are wanted.
    matched, unmatched: detections that lately found their image, and that did not; forgotten: those
        of the latter that came when their image was forgotten.
    masks_missing: frames that lately got none although they were wanted.
    gap: from the last unmatched detections to the nearest image; None where there was none.
    dropped: why no region at all was captioned lately although there were some; empty if not so.
    low_bits: how many of the lowest of their 16 bits images used lately that were nearly black; 0
        where none were.
    published_rate: frames a second; published_age: since the last was, None before the first.
    stale_after: an input that was silent for longer has stopped.
    """

    activity: Activity
    images: Input
    detections: Input
    masks: Input | None = None
    activity_for: float = 0.0
    detail: str = ""
    error: str = ""
    failures: int = 0
    pass_for: float = 0.0
    pass_usual: float = 0.0
    matched: int = 0
    unmatched: int = 0
    forgotten: int = 0
    gap: float | None = None
    tolerance: float = 0.0
    masks_missing: int = 0
    dropped: str = ""
    low_bits: int = 0
    published_rate: float = 0.0
    published_age: float | None = None
    stale_after: float = 5.0
