"""What may go wrong in the node, one function for each kind of fault, and the words for it.

What lasts is told on /diagnostics in the words of `judging`. Nothing here knows ROS messages.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.messages.matching import UNSET, Unmatched
from perceptiondlm_ros.ros.qos import AUTO, SUBSCRIPTION, override_name
from perceptiondlm_ros.text import one_line

KEEP_LONGER: Final = "raise matching.images_kept or matching.memory, or use a faster detector"


class Level(IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus. STALE: what was known is no longer kept up."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Failure:
    """What is kept of an error: not the error itself, as it would keep images in memory.

    out_of_memory: whether it is one of too little memory. advises: whether it says what to do.
    """

    reason: str  # one line
    out_of_memory: bool = False
    advises: bool = False

    @classmethod
    def of(cls, error: BaseException, words: str = "") -> Failure:
        """What an error means, in these words; by default in its type and text."""
        memory = isinstance(error, (OutOfMemoryError, MemoryError))
        memory |= isinstance(error, OSError) and error.errno == errno.ENOMEM
        return cls(one_line(words or _named(error)), memory, isinstance(error, BackendError))


@dataclass(frozen=True)
class Fault:
    """Something that went wrong.

    cause: its kind; of one kind a line is written now and then only.
    line: for the log; empty where none is needed.
    counts: what it adds to counters, by their names. latest: what it replaces there.
    dropped: the regions that get no caption for it, by the reason in words.
    failure: kept as the last failure, unreadable: as that of the last image that can't be read.
    """

    cause: str
    line: str = ""
    level: Level = Level.WARN
    counts: Mapping[str, int] = field(default_factory=dict)
    latest: Mapping[str, float | None] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    unreadable: Failure | None = None


def other_type(topic: str, publisher: str, published: str, taken: str) -> Fault:
    """A publisher of a topic that the node takes as another type."""
    return Fault(
        "type",
        f"type of {topic} differs: {publisher} publishes {published}, this node takes {taken}; "
        "remap one of them",
    )


def other_qos(topic: str, publisher: str, policies: tuple[str, ...], offered: str) -> Fault:
    """A publisher that offers less than is asked for. offered: what both have, in rmw's words."""
    cure = "let the publisher offer what is asked for"
    if policies:  # taken from the publishers, had the user not fixed them
        names = (override_name(topic, SUBSCRIPTION, policy) for policy in policies)
        cure = f"set {' and '.join(names)} to {AUTO}"
    words = f"{publisher} has {offered}; {cure}"
    return Fault("QoS", f"QoS of {topic} incompatible ({', '.join(policies)}): {words}")


def turned_down(topic: str, policies: tuple[str, ...]) -> Fault:
    """Publishers that only the middleware knows of, and can't be heard."""
    words = f"the middleware turned a publisher down; see ros2 topic info -v {topic}"
    return Fault("QoS", f"QoS of {topic} incompatible ({', '.join(policies)}): {words}")


def clock_set_back() -> Fault:
    """Stamps of an input are older than its last ones by more than streams are out of order."""
    line = "stamps jumped backward; what was buffered is forgotten"
    return Fault("clock", line, counts={"clock_jumps": 1})


def no_image(images: str, detections: str, lost: Unmatched, tolerance: float, so_far: int) -> Fault:
    """Detections without an image. images, detections: the topics. so_far: how many of them."""
    if lost.forgotten:
        line = f"detections came so late that their image was forgotten; {KEEP_LONGER}"
    elif lost.gap is not None:
        line = (
            f"the image nearest to the detections is {lost.gap:.3f} s away, above "
            f"matching.tolerance {tolerance:.3f} s"
        )
    elif lost.stamp == UNSET:
        line = f"detections on {detections} have no stamp, and no such image came"
    else:
        line = f"detections came on {detections}, but no image with a stamp on {images}"
    return Fault(
        "no image",
        f"{line}; {so_far} unmatched so far",
        counts={"unmatched": 1, "images_forgotten": int(lost.forgotten)},
        latest={"last_gap": lost.gap},
    )


def no_masks(topic: str, so_far: int) -> Fault:
    """A frame that got none of the masks that were wanted. so_far: how many of them."""
    return Fault(
        "no masks",
        f"no masks within matching.tolerance of the detections came on {topic}; boxes are "
        f"captioned, {so_far} frames so far. Set masks.enabled to false where there are none",
        counts={"masks_missing": 1},
    )


def unusable_masks(reason: str) -> Fault:
    """Masks that came and can't be used. reason: in words."""
    return Fault("masks", reason)


def low_bits(bits: int) -> Fault:
    """An image of 16 bits that uses so many of the lowest ones alone; `judging` tells it."""
    return Fault("low bits", counts={"images_of_low_bits": 1}, latest={"low_bits": bits})


def dropped_regions(
    reasons: Mapping[str, int], unwanted: Mapping[str, int], detections: int
) -> Fault:
    """Detections of one frame that are not captioned, by the reason in words.

    unwanted: those that a setting leaves out. It may leave out more than was meant, so they are
    counted, if not told. detections: how many there were.
    """
    told = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    line = f"{sum(reasons.values())} of {detections} detections dropped: {told}" if told else ""
    return Fault("regions", line, dropped={**reasons, **unwanted})


def unreadable_image(error: Exception, regions: int) -> Fault:
    """An image that can't be read; none of its regions is captioned."""
    unreadable = Failure.of(error, str(error))
    return Fault("image", str(error), dropped={"unreadable image": regions}, unreadable=unreadable)


def failed_pass(error: Exception, regions: int) -> Fault:
    """A pass of the model that raised an error; none of its regions is captioned."""
    dropped = {"in a failed pass": regions}
    return Fault("pass", f"captioning failed: {_named(error)}", dropped=dropped)


def failed_worker(error: Exception) -> Fault:
    """A frame that a worker thread could not handle."""
    return Fault("worker", f"worker failed: {_named(error)}", failure=Failure.of(error))


def failed_transition(transition: str, error: Exception) -> Fault:
    """A transition of the lifecycle that raised an error."""
    failure = Failure.of(error, f"{transition} failed: {_named(error)}")
    return Fault("transition", failure.reason, Level.ERROR, failure=failure)


def refused_request(reason: str) -> Fault:
    """A request to describe that got no captions. reason: in words."""
    return Fault("request", f"~/describe refused: {reason}", counts={"requests_refused": 1})


def unplaced_regions(number: int, regions: int, widest: float) -> Fault:
    """Regions of one frame without a marker: the lens shows nothing there. regions: all of them.

    widest: degrees from the optical axis.
    """
    return Fault(
        "unplaced",
        f"no marker for {number} of {regions} regions: by camera_info a corner shows nothing "
        f"within {widest:g} degrees of the camera's axis; if the lens is not so wide, calibrate "
        "it with points out to the corners of the image",
        counts={"regions_unplaced": number},
    )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
