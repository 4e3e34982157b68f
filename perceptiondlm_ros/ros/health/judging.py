"""What is the matter with the node, judged from what can be seen of it. Nothing here knows ROS.

The first thing that is wrong on the way from the publishers to a caption is the one that is told:
what comes after it on the way can't be right either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain

from perceptiondlm_ros.messages.bit_depth import low_bits_told
from perceptiondlm_ros.ros.health.faults import KEEP_LONGER, Failure, Fault, Level
from perceptiondlm_ros.ros.health.status import Activity


class Condition(Enum):
    """What a reason is about. The reason's words and numbers move on while it lasts."""

    FINALIZED = auto()
    BUSY = auto()
    TRANSITION_FAILED = auto()
    UNCONFIGURED = auto()
    INACTIVE = auto()
    OUT_OF_MEMORY = auto()
    FAILING = auto()
    HANGING = auto()
    DISABLED = auto()
    INCOMPATIBLE = auto()
    WAITING_FOR_IMAGES = auto()
    WAITING_FOR_DETECTIONS = auto()
    IMAGES_STOPPED = auto()
    DETECTIONS_STOPPED = auto()
    UNMATCHED = auto()
    MASKS_MISSING = auto()
    REGIONS_DROPPED = auto()
    LOW_BITS = auto()
    STARTING = auto()
    OK = auto()


@dataclass(frozen=True)
class Health:
    """How the node is, and why."""

    level: Level
    condition: Condition
    reason: str  # one line


@dataclass(frozen=True)
class Input:
    """One topic that the node takes.

    mismatches: for each publisher that can't be heard, why and what to do about it.
    elsewhere: other topics of its type that somebody publishes, looked for where nobody does here.
    age: seconds since its last message in this activation; None while none came.
    """

    topic: str
    publishers: int = 0
    mismatches: tuple[Fault, ...] = ()
    age: float | None = None
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """What can be seen of the node at one time. Durations are in seconds.

    activity, activity_for, detail: what the node does, since when, and what more is known of that.
    failure: the newest transition or pass, if it failed; failures: how many failed one after the
        other.
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
    failure: Failure | None = None
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


_BUSY = {Activity.LOADING, Activity.BUILDING, Activity.WARMING_UP}
"""Steps that keep a transition waiting."""

_HANGING = 30.0
"""A pass of this many seconds hangs, if it also takes ten times what is usual."""

_TOPICS_TOLD = 3
_MEMORY_ADVICE = "; free memory on the device, lower max_regions, or load a smaller checkpoint"


def judge(seen: Situation) -> Health:
    """The state of the node in one line, with the level that the line deserves."""
    return next(chain(_of_the_node(seen), _of_inputs(seen), _of_frames(seen), _when_well(seen)))


def _of_the_node(seen: Situation) -> Iterator[Health]:
    """What its lifecycle and its model do or wait for, the most important first."""
    activity, failure = seen.activity, seen.failure
    if activity in _BUSY:
        detail = f" ({seen.detail})" if seen.detail else ""
        line = f"{activity.value} for {seen.activity_for:.0f} s{detail}"
        yield Health(Level.WARN, Condition.BUSY, line)
    if activity is Activity.FINALIZED:
        yield Health(Level.STALE, Condition.FINALIZED, "shut down; start the process again")
    if failure and failure.out_of_memory:
        line = f"out of memory: {failure.reason}{'' if failure.advises else _MEMORY_ADVICE}"
        yield Health(Level.ERROR, Condition.OUT_OF_MEMORY, line)
    elif failure and activity in (Activity.UNCONFIGURED, Activity.INACTIVE):
        yield Health(Level.ERROR, Condition.TRANSITION_FAILED, failure.reason)
    elif failure:
        count = f" ({seen.failures} times in a row)" if seen.failures > 1 else ""
        line = f"captioning fails: {failure.reason}{count}"
        yield Health(Level.ERROR, Condition.FAILING, line)
    if activity is Activity.INACTIVE:
        line = "inactive: the model is loaded, the node waits for the transition activate"
        yield Health(Level.WARN, Condition.INACTIVE, line)
    if activity is Activity.UNCONFIGURED:
        line = "unconfigured: the node waits for the transition configure"
        yield Health(Level.WARN, Condition.UNCONFIGURED, line)
    if seen.pass_for > max(_HANGING, 10 * seen.pass_usual):
        line = f"one pass runs for {seen.pass_for:.0f} s, {seen.pass_usual:.1f} s are usual"
        yield Health(Level.ERROR, Condition.HANGING, line)
    if activity is Activity.DISABLED:
        line = "disabled by ~/enable: frames are not captioned, ~/describe is served"
        yield Health(Level.OK, Condition.DISABLED, line)


def _of_inputs(seen: Situation) -> Iterator[Health]:
    """Topics on which nothing comes."""
    for what, stream, waiting, stopped in (
        ("images", seen.images, Condition.WAITING_FOR_IMAGES, Condition.IMAGES_STOPPED),
        (
            *("detections", seen.detections),
            *(Condition.WAITING_FOR_DETECTIONS, Condition.DETECTIONS_STOPPED),
        ),
    ):
        if stream.age is not None and stream.age <= seen.stale_after:
            continue
        if stream.mismatches:
            yield Health(Level.ERROR, Condition.INCOMPATIBLE, stream.mismatches[0].line)
        elif stream.age is None:
            who = {0: "nobody publishes", 1: "1 publisher has sent nothing"}.get(
                stream.publishers, f"{stream.publishers} publishers have sent nothing"
            )
            line = f"waiting for {what}: {who} on {stream.topic}{_hint(stream)}"
            yield Health(Level.WARN, waiting, line)
        else:
            left = "" if stream.publishers else ", its publisher is gone"
            line = f"no {what} on {stream.topic} for {stream.age:.0f} s{left}"
            yield Health(Level.STALE, stopped, line)


def _hint(stream: Input) -> str:
    """Where such messages are, if they aren't here."""
    if stream.publishers or not stream.elsewhere:
        return ""
    there = ", ".join(stream.elsewhere[:_TOPICS_TOLD])
    more = len(stream.elsewhere) - _TOPICS_TOLD
    return f"; such messages are on {there}{f' and {more} more' if more > 0 else ''}: remap one"


def _of_frames(seen: Situation) -> Iterator[Health]:
    """What comes and is not captioned as it should be."""
    images, found = seen.images.topic, seen.detections.topic
    if seen.unmatched and not seen.matched:
        if seen.forgotten:
            line = (
                f"detections on {found} come so late that their image is forgotten; {KEEP_LONGER}"
            )
        elif seen.gap is None:
            line = (
                f"detections on {found} match no image on {images}: "
                "their stamps are unset, or no image came near them"
            )
        else:
            line = (
                f"stamp gap {seen.gap:.2f} s above {seen.tolerance:.2f} s (matching.tolerance) "
                f"between {found} and {images}"
            )
        yield Health(Level.ERROR, Condition.UNMATCHED, line)
    if seen.masks and seen.masks_missing:
        masks = seen.masks
        why = f"those on {masks.topic} have other stamps than {found}"
        if masks.mismatches:
            why = masks.mismatches[0].line
        elif masks.age is None:
            why = f"{'nothing came' if masks.publishers else 'nobody publishes'} on {masks.topic}"
        line = f"boxes are captioned for lack of masks: {why}"
        yield Health(Level.WARN, Condition.MASKS_MISSING, line)
    if seen.dropped:
        line = f"no region is captioned: {seen.dropped}"
        yield Health(Level.WARN, Condition.REGIONS_DROPPED, line)
    if seen.low_bits:
        what = low_bits_told(seen.low_bits, "image.significant_bits:=")
        line = f"captions of {images} are doubtful: {what}"
        yield Health(Level.WARN, Condition.LOW_BITS, line)
    # A publisher that can't be heard beside one that is: easily missed, as messages do come.
    for mismatch in seen.images.mismatches + seen.detections.mismatches:
        yield Health(Level.WARN, Condition.INCOMPATIBLE, mismatch.line)


def _when_well(seen: Situation) -> Iterator[Health]:
    if seen.published_age is None:
        line = "images and detections arrive, no frame is captioned yet"
        yield Health(Level.OK, Condition.STARTING, line)
    elif seen.published_rate:
        line = f"captioning, {seen.published_rate:.1f} frames a second are published"
        yield Health(Level.OK, Condition.OK, line)
    else:
        line = f"captioning, the last frame was published {seen.published_age:.0f} s ago"
        yield Health(Level.OK, Condition.OK, line)
