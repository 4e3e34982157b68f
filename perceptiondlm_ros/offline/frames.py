"""The frames of a bag: its detections, each with the image that they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from rosbags.rosbag2 import Reader
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.descriptions import nanoseconds
from perceptiondlm_ros.messages.matching import Limits, Matcher
from perceptiondlm_ros.offline.reading import Topics, check_types, messages

_AT_THE_END: Final = float("inf")


_KEPT: Final = 64
_BYTES_KEPT: Final = 1_000_000_000
"""What is remembered of each topic for detections that come late: a bag is read, not lived, so it
may be more than the node remembers by default."""


@dataclass
class MatchTally:
    """What became of the images and detections of a bag; counts messages."""

    images: int = 0
    detections: int = 0
    masks: int = 0
    matched_exact: int = 0
    matched_nearest: int = 0
    unmatched: int = 0
    masks_missing: int = 0
    withdrawn: int = 0
    unset_stamps: int = 0
    backward_stamps: int = 0
    clock_jumps: int = 0
    last_gap: float | None = None  # seconds from the last unmatched detections to the nearest image


@dataclass(frozen=True)
class Frame:
    """An image and its detections, as messages.

    number: of the detections among all of the bag, in reading order, from 0.
    log_ns: when all of it was there, by the clock of the recorder.
    """

    number: int
    detections: Any
    image: Any
    masks: Any = None
    log_ns: int = 0


def frames(
    reader: Reader, topics: Topics, tolerance: float, store: Typestore, tally: MatchTally
) -> Iterator[Frame]:
    """All frames of the bag, in the order in which they are complete.

    Args:
        tolerance: largest difference between the stamps of an image and its detections, in seconds.

    Raises:
        InputError: a message can't be read.
    """
    connections = [c for c in reader.connections if c.topic in topics.read]
    check_types(connections, store)
    found: list[Frame] = []
    matcher: Matcher[Any, tuple[int, Any], Any] = Matcher(
        lambda image, numbered, masks: found.append(Frame(*numbered, image, masks)),
        lambda unmatched: None,
        tally,
        Limits(round(tolerance * 1e9), _KEPT, _BYTES_KEPT, wants_masks=topics.masks is not None),
        size_of=lambda message: len(message.data),
    )
    numbers = count()
    log_ns = 0
    for connection, log_ns, data in messages(reader, connections):
        message: Any
        try:
            message = store.deserialize_cdr(data, connection.msgtype)
        except SerdeError as error:
            raise InputError(f"{connection.topic}: a message is damaged: {error}") from error
        stamp = nanoseconds(message.header.stamp)
        if connection.topic == topics.image:
            matcher.add_image(stamp, message)
        elif connection.topic == topics.masks:
            matcher.add_masks(stamp, message)
        else:
            matcher.add_detections(stamp, (next(numbers), message), log_ns / 1e9)
        # The node waits by its own clock; here time is what the bag says it is.
        matcher.settle(log_ns / 1e9)
        yield from _taken(found, log_ns)
    matcher.settle(_AT_THE_END)
    yield from _taken(found, log_ns)


def _taken(found: list[Frame], log_ns: int) -> Iterator[Frame]:
    taken, found[:] = list(found), []
    for frame in taken:
        yield replace(frame, log_ns=log_ns)
