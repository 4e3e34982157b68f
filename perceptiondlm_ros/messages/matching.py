"""Pairs detections with the image that they were made from, by stamp, and with their masks.

The exact stamp decides. Only when a stream has gone past a stamp without it (the image was lost, or
the detector stamps by its own clock) is the nearest message within the tolerance taken.
Nothing here knows ROS: stamps are nanoseconds, messages are opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

UNSET = 0
"""A stamp that says nothing about time, so that it is near to nothing and past nothing."""

CLOCK_JUMP_NS = 1_000_000_000
"""Streams of one camera are out of order by less than this; more is a clock that was set back."""

_UNBOUNDED = 2**62  # bytes


def nearest(stamps: Iterable[int], stamp: int) -> int | None:
    """The one that belongs to `stamp`: the same, else the nearest, of two as near the first.

    None where there is none. Unset stamps are near to nothing but each other.
    """
    known = [other for other in stamps if (other == UNSET) == (stamp == UNSET)]
    return min(known, key=lambda other: abs(other - stamp), default=None)


class StampBuffer(Generic[Item]):
    """The newest messages of a stream, in the order in which they came; one of each stamp.

    size_of: bytes that one takes.
    """

    def __init__(self, size_of: Callable[[Item], int] = lambda item: 0) -> None:
        self.items: dict[int, Item] = {}
        self._size_of = size_of
        self._bytes = 0
        self._forgotten: tuple[int, ...] = ()  # oldest and newest stamp of those that made room

    def add(self, stamp: int, item: Item) -> None:
        self._drop(stamp)
        self.items[stamp] = item
        self._bytes += self._size_of(item)

    def trim(self, most: int, most_bytes: int = _UNBOUNDED) -> None:
        """Forget the oldest ones, but never the newest one."""
        while len(self.items) > 1 and (len(self.items) > most or self._bytes > most_bytes):
            oldest = next(iter(self.items))
            self._drop(oldest)
            known = (*self._forgotten, oldest)
            self._forgotten = (min(known), max(known))

    def forget_after(self, future: int) -> None:
        for stamp in [stamp for stamp in self.items if stamp > future]:
            self._drop(stamp)
        self._forgotten = ()

    def clear(self) -> None:
        self.items.clear()
        self._bytes = 0
        self._forgotten = ()

    def is_known(self, stamp: int) -> bool:
        """Whether waiting brings no better one: it is there, or the stream is past its stamp."""
        past = stamp != UNSET and any(other > stamp for other in self.items if other != UNSET)
        return stamp in self.items or past

    def find(self, stamp: int, tolerance: int) -> int | None:
        """The stamp of the very message, else of the nearest one within the tolerance."""
        found = nearest(self.items, stamp)
        return found if found is not None and abs(found - stamp) <= tolerance else None

    def has_forgotten(self, stamp: int) -> bool:
        """Whether messages of that time were there."""
        return bool(self._forgotten) and self._forgotten[0] <= stamp <= self._forgotten[1]

    def _drop(self, stamp: int) -> None:
        if stamp in self.items:
            self._bytes -= self._size_of(self.items.pop(stamp))


@dataclass(frozen=True)
class MatchLimits:
    """What matching goes by; it may change from message to message.

    tolerance_ns: largest difference of stamps in a pair.
    kept: messages of a stream that are remembered; older ones are forgotten.
    bytes_kept: at most of images, and as much of masks, but for the newest one.
    wants_masks: whether detections wait for their masks.
    """

    tolerance_ns: int
    kept: int
    bytes_kept: int = _UNBOUNDED
    wants_masks: bool = False


@dataclass(frozen=True)
class Match:
    """Detections with their image. masks: None where none were wanted, or none came.

    exact: whether the image has the very stamp of the detections.
    """

    image: Any
    detections: Any
    masks: Any
    exact: bool


@dataclass(frozen=True)
class Unmatched:
    """Detections for which there is no image.

    gap: seconds to the nearest image; None: there is none with a stamp, or they have none.
    forgotten: there were images of that time, but they had to make room for newer ones.
    """

    stamp: int
    gap: float | None
    forgotten: bool


@dataclass
class Outcome:
    """What one message, or the passing of time, decided.

    withdrawn: waiting detections that were forgotten with a clock that was set back.
    unset, backward, clock_jump: whether the stamp of the message is unset, older than the one
        before, or older by more than streams can be out of order.
    """

    matches: list[Match] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)
    withdrawn: int = 0
    unset: bool = False
    backward: bool = False
    clock_jump: bool = False


class _Waiting(NamedTuple):
    stamp: int
    detections: Any
    since: float  # monotonic seconds


class Matcher:
    """Bounded buffers of the streams; each detections message is decided on at most once.

    size_of: bytes that an image or masks take.
    longest_wait: seconds that detections wait for their image and masks before `expire` gives up.
    """

    def __init__(
        self, size_of: Callable[[Any], int] = lambda message: 0, longest_wait: float = 1.0
    ) -> None:
        self._longest_wait = longest_wait
        self._images: StampBuffer[Any] = StampBuffer(size_of)
        self._masks: StampBuffer[Any] = StampBuffer(size_of)
        self._waiting: list[_Waiting] = []
        self._last = {"images": 0, "detections": 0, "masks": 0}

    def add(
        self, stream: str, stamp: int, message: Any, limits: MatchLimits, now: float
    ) -> Outcome:
        """Add a message that comes at `now`, by a monotonic clock in seconds.

        stream: images, detections or masks.
        """
        outcome = self._watch_clock(stream, stamp)
        buffer = {"images": self._images, "masks": self._masks}.get(stream)
        if buffer is not None:
            buffer.add(stamp, message)
            self._decide(outcome, limits)
            buffer.trim(limits.kept, limits.bytes_kept)
            return outcome
        self._waiting.append(_Waiting(stamp, message, now))
        self._decide(outcome, limits)
        while len(self._waiting) > max(limits.kept, 1):
            self._conclude(self._waiting.pop(0), outcome, limits)
        return outcome

    def expire(self, limits: MatchLimits, now: float) -> Outcome:
        """Decide on detections that have waited long enough: what they wait for won't come."""
        outcome = Outcome()
        self._conclude_where(lambda entry: now - entry.since >= self._longest_wait, outcome, limits)
        return outcome

    def clear(self) -> int:
        """Forget all streams; how many detections were still waiting."""
        withdrawn = len(self._waiting)
        self._waiting.clear()
        self._images.clear()
        self._masks.clear()
        self._last = dict.fromkeys(self._last, 0)
        return withdrawn

    def _decide(self, outcome: Outcome, limits: MatchLimits) -> None:
        """Match what can't get better, keep what can."""

        def is_settled(entry: _Waiting) -> bool:
            masks_known = not limits.wants_masks or self._masks.is_known(entry.stamp)
            return masks_known and self._images.is_known(entry.stamp)

        self._conclude_where(is_settled, outcome, limits)

    def _conclude_where(
        self, is_due: Callable[[_Waiting], bool], outcome: Outcome, limits: MatchLimits
    ) -> None:
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if is_due(entry):
                self._conclude(entry, outcome, limits)
            else:
                self._waiting.append(entry)

    def _conclude(self, entry: _Waiting, outcome: Outcome, limits: MatchLimits) -> None:
        """Match with what there is, or give up."""
        found = self._images.find(entry.stamp, limits.tolerance_ns)
        if found is None:
            closest = nearest(self._images.items, entry.stamp)
            gap = None if closest is None else abs(closest - entry.stamp) / 1e9
            forgotten = self._images.has_forgotten(entry.stamp)
            outcome.unmatched.append(Unmatched(entry.stamp, gap, forgotten))
            return
        of_masks = None
        if limits.wants_masks:
            of_masks = self._masks.find(entry.stamp, limits.tolerance_ns)
        masks = None if of_masks is None else self._masks.items[of_masks]
        image, exact = self._images.items[found], found == entry.stamp
        outcome.matches.append(Match(image, entry.detections, masks, exact))

    def _watch_clock(self, stream: str, stamp: int) -> Outcome:
        outcome = Outcome(unset=stamp == UNSET)
        if outcome.unset:
            return outcome
        last, self._last[stream] = self._last[stream], stamp
        outcome.backward = stamp < last
        future = stamp + CLOCK_JUMP_NS
        if last > future:
            outcome.clock_jump = True
            self._images.forget_after(future)
            self._masks.forget_after(future)
            kept = [entry for entry in self._waiting if entry.stamp <= future]
            outcome.withdrawn = len(self._waiting) - len(kept)
            self._waiting = kept
            # The other streams are about to follow, which is the same jump, not another one.
            self._last = {name: min(newest, stamp) for name, newest in self._last.items()}
        return outcome
