"""What may go wrong in the node, as its parts report it, and the words for it.

What lasts is told on /diagnostics in the words of `judging`. Nothing here knows ROS messages.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.ros.qos import AUTO, SUBSCRIPTION, override_name
from perceptiondlm_ros.text import one_line

KEEP_LONGER: Final = "raise matching.images_kept or matching.memory, or use a faster detector"
_FOLLOWING: Final = {"reliability", "durability"}
"""Policies that a subscription takes from its publishers unless the user fixed them."""


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
        reason = one_line(words or _named(error))
        return cls(reason, memory, isinstance(error, BackendError))


class Fault:
    """Something that went wrong; its `str` is the line for the log, empty where none is needed."""

    level: ClassVar[Level] = Level.WARN

    @property
    def counts(self) -> Mapping[str, int]:
        """What it adds to counters, by their names."""
        return {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """The regions that get no caption for it, by the reason in words."""
        return {}


@dataclass(frozen=True)
class OtherType(Fault):
    """A publisher of a topic that the node takes as another type."""

    topic: str
    publisher: str
    published: str
    taken: str

    def __str__(self) -> str:
        return (
            f"type of {self.topic} differs: {self.publisher} publishes {self.published}, this node "
            f"takes {self.taken}; remap one of them"
        )


@dataclass(frozen=True)
class OtherQos(Fault):
    """A publisher that offers less than is asked for. offered: what both have, in rmw's words."""

    topic: str
    publisher: str
    policies: tuple[str, ...]
    offered: str

    def __str__(self) -> str:
        cure = "let the publisher offer what is asked for"
        if self.policies and set(self.policies) <= _FOLLOWING:
            names = (override_name(self.topic, SUBSCRIPTION, policy) for policy in self.policies)
            cure = f"set {' and '.join(names)} to {AUTO}"
        return (
            f"QoS of {self.topic} incompatible ({', '.join(self.policies)}): {self.publisher} has "
            f"{self.offered}; {cure}"
        )


@dataclass(frozen=True)
class TurnedDown(Fault):
    """Publishers that only the middleware knows of, and can't be heard."""

    topic: str
    policies: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"QoS of {self.topic} incompatible ({', '.join(self.policies)}): the middleware turned "
            f"a publisher down; see ros2 topic info -v {self.topic}"
        )


@dataclass(frozen=True)
class ClockSetBack(Fault):
    """Stamps of an input are older than its last ones by more than streams are out of order."""

    @property
    def counts(self) -> Mapping[str, int]:
        return {"clock_jumps": 1}

    def __str__(self) -> str:
        return "stamps jumped backward; what was buffered is forgotten"


@dataclass(frozen=True)
class NoImage(Fault):
    """Detections without an image. images, detections: the topics. so_far: how many of them.

    gap: seconds to the nearest image; None: none has a stamp, or the detections have none
    (`unset`). forgotten: the image was there, but had to make room for newer ones.
    """

    images: str
    detections: str
    gap: float | None
    forgotten: bool
    unset: bool
    tolerance: float
    so_far: int

    @property
    def counts(self) -> Mapping[str, int]:
        return {"unmatched": 1, "images_forgotten": int(self.forgotten)}

    def __str__(self) -> str:
        if self.forgotten:
            line = f"detections came so late that their image was forgotten; {KEEP_LONGER}"
        elif self.gap is not None:
            line = (
                f"the image nearest to the detections is {self.gap:.3f} s away, above "
                f"matching.tolerance {self.tolerance:.3f} s"
            )
        elif self.unset:
            line = f"detections on {self.detections} have no stamp, and no such image came"
        else:
            line = (
                f"detections came on {self.detections}, but no image with a stamp on {self.images}"
            )
        return f"{line}; {self.so_far} unmatched so far"


@dataclass(frozen=True)
class NoMasks(Fault):
    """A frame that got none of the masks that were wanted. so_far: how many of them."""

    topic: str
    so_far: int

    @property
    def counts(self) -> Mapping[str, int]:
        return {"masks_missing": 1}

    def __str__(self) -> str:
        return (
            f"no masks within matching.tolerance of the detections came on {self.topic}; boxes are "
            f"captioned, {self.so_far} frames so far. Set masks.enabled to false where there are "
            "none"
        )


@dataclass(frozen=True)
class UnusableMasks(Fault):
    """Masks that came and can't be used. reason: in words."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class DroppedRegions(Fault):
    """Detections of one frame that are not captioned, by the reason in words.

    unwanted: those that a setting leaves out. It may leave out more than was meant, so they are
    counted, if not told. detections: how many there were.
    """

    reasons: Mapping[str, int]
    unwanted: Mapping[str, int]
    detections: int

    @property
    def dropped(self) -> Mapping[str, int]:
        return {**self.reasons, **self.unwanted}

    def __str__(self) -> str:
        told = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
        total = sum(self.reasons.values())
        return f"{total} of {self.detections} detections dropped: {told}" if told else ""


@dataclass(frozen=True)
class UnreadableImage(Fault):
    """An image that can't be read; none of its regions is captioned."""

    error: Exception
    regions: int

    @property
    def dropped(self) -> Mapping[str, int]:
        return {"unreadable image": self.regions}

    def __str__(self) -> str:
        return str(self.error)


@dataclass(frozen=True)
class FailedPass(Fault):
    """A pass of the model that raised an error; none of its regions is captioned."""

    error: Exception
    regions: int

    @property
    def dropped(self) -> Mapping[str, int]:
        return {"in a failed pass": self.regions}

    def __str__(self) -> str:
        return f"captioning failed: {_named(self.error)}"


@dataclass(frozen=True)
class FailedWorker(Fault):
    """A frame that a worker thread could not handle."""

    error: Exception

    def __str__(self) -> str:
        return f"worker failed: {_named(self.error)}"


@dataclass(frozen=True)
class FailedTransition(Fault):
    """A transition of the lifecycle that raised an error."""

    level = Level.ERROR
    transition: str
    error: Exception

    def __str__(self) -> str:
        return one_line(f"{self.transition} failed: {_named(self.error)}")


@dataclass(frozen=True)
class RefusedRequest(Fault):
    """A request to describe that got no captions. reason: in words."""

    reason: str

    @property
    def counts(self) -> Mapping[str, int]:
        return {"requests_refused": 1}

    def __str__(self) -> str:
        return f"~/describe refused: {self.reason}"


@dataclass(frozen=True)
class UnplacedRegions(Fault):
    """Regions of one frame without a marker: the lens shows nothing there. regions: all of them.

    widest: degrees from the optical axis.
    """

    number: int
    regions: int
    widest: float

    @property
    def counts(self) -> Mapping[str, int]:
        return {"regions_unplaced": self.number}

    def __str__(self) -> str:
        return (
            f"no marker for {self.number} of {self.regions} regions: by camera_info a corner shows "
            f"nothing within {self.widest:g} degrees of the camera's axis; if the lens is not so "
            "wide, calibrate it with points out to the corners of the image"
        )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
