"""Pairs detections with the image that they were made from, by stamp, and with their masks.

The exact stamp decides. Only when a stream has gone past a stamp without it (the image was lost, or
the detector stamps by its own clock) is the nearest message within the tolerance taken.
Nothing here knows ROS: stamps are nanoseconds, messages are opaque.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from perceptiondlm_ros.messages.stamp_buffer import UNSET, StampBuffer

Image = TypeVar("Image")
Detections = TypeVar("Detections")
Masks = TypeVar("Masks")

# Streams of one camera are out of order by less than this; more is a clock that was set back.
CLOCK_JUMP_NS = 1_000_000_000


class MatchCounters(Protocol):
    """What is counted here. A message is an image, masks, or an array of detections."""

    images: int
    detections: int
    masks: int
    matched_exact: int
    matched_nearest: int
    unmatched: int
    masks_missing: int  # frames without, although they were wanted
    withdrawn: int
    unset_stamps: int
    backward_stamps: int
    clock_jumps: int  # backward by more than the streams can be out of order
    last_gap: float | None  # seconds from the last unmatched detections to the nearest image


@dataclass(frozen=True)
class Unmatched:
    """Detections for which there is no image.

    gap: seconds to the nearest image; None: there is none with a stamp, or they have none.
    forgotten: there were images of that time, but they had to make room for newer ones.
    """

    stamp: int
    gap: float | None
    forgotten: bool


@dataclass(frozen=True)
class Limits:
    """What may be changed on the way.

    tolerance_ns: largest difference of stamps in a pair.
    kept: messages of a stream that are remembered; older ones are forgotten.
    bytes_kept: at most of images, and as much of masks, but for the newest one.
    wants_masks: whether detections wait for their masks.
    """

    tolerance_ns: int
    kept: int
    bytes_kept: int = 2**62
    wants_masks: bool = False


class Matcher(Generic[Image, Detections, Masks]):
    """Bounded buffers of the streams; each detections message is matched at most once.

    matched: called with an image, its detections, and their masks or None.
    size_of: bytes that an image or masks take.
    patience: seconds that detections wait for their image and masks before `settle` gives up.
    """

    def __init__(
        self,
        matched: Callable[[Image, Detections, Masks | None], None],
        unmatched: Callable[[Unmatched], None],
        counters: MatchCounters,
        limits: Limits,
        size_of: Callable[[Image | Masks], int] = lambda message: 0,
        patience: float = 1.0,
    ) -> None:
        self.limits = limits
        self._matched = matched
        self._unmatched = unmatched
        self._counters = counters
        self._patience = patience
        self._images: StampBuffer[Image] = StampBuffer(size_of)
        self._masks: StampBuffer[Masks] = StampBuffer(size_of)
        self._pending: list[_Pending[Detections]] = []
        self._last = {"images": 0, "detections": 0, "masks": 0}

    def add_image(self, stamp: int, image: Image) -> None:
        self._counters.images += 1
        self._watch_clock("images", stamp)
        self._images.add(stamp, image)
        self._decide_waiting()
        self._images.trim(self.limits.kept, self.limits.bytes_kept)

    def add_masks(self, stamp: int, masks: Masks) -> None:
        self._counters.masks += 1
        self._watch_clock("masks", stamp)
        self._masks.add(stamp, masks)
        self._decide_waiting()
        self._masks.trim(self.limits.kept, self.limits.bytes_kept)

    def add_detections(self, stamp: int, detections: Detections, now: float) -> None:
        """now: a monotonic clock, in seconds."""
        self._counters.detections += 1
        self._watch_clock("detections", stamp)
        self._decide(_Pending(stamp, detections, now))
        while len(self._pending) > max(self.limits.kept, 1):
            self._conclude(self._pending.pop(0))

    def settle(self, now: float) -> None:
        """Decide on detections that have waited for `patience`: what they wait for won't come."""
        waiting, self._pending = self._pending, []
        for entry in waiting:
            if now - entry.since < self._patience:
                self._pending.append(entry)
            else:
                self._conclude(entry)

    def clear(self) -> None:
        """Forget all streams; what was pending is counted as withdrawn."""
        self._counters.withdrawn += len(self._pending)
        self._pending.clear()
        self._images.clear()
        self._masks.clear()
        self._last = dict.fromkeys(self._last, 0)

    def _decide_waiting(self) -> None:
        waiting, self._pending = self._pending, []
        for entry in waiting:
            self._decide(entry)

    def _decide(self, entry: _Pending[Detections]) -> None:
        """Match what can't get better, keep what can."""
        masks_known = not self.limits.wants_masks or self._masks.is_known(entry.stamp)
        if self._images.is_known(entry.stamp) and masks_known:
            self._conclude(entry)
        else:
            self._pending.append(entry)

    def _conclude(self, entry: _Pending[Detections]) -> None:
        """Match with what there is."""
        found = self._images.find(entry.stamp, self.limits.tolerance_ns)
        if found is None:
            self._give_up(entry)
            return
        if found == entry.stamp:
            self._counters.matched_exact += 1
        else:
            self._counters.matched_nearest += 1
        masks = self._masks_of(entry.stamp) if self.limits.wants_masks else None
        self._matched(self._images.items[found], entry.detections, masks)

    def _masks_of(self, stamp: int) -> Masks | None:
        found = self._masks.find(stamp, self.limits.tolerance_ns)
        if found is None:
            self._counters.masks_missing += 1
            return None
        return self._masks.items[found]

    def _give_up(self, entry: _Pending[Detections]) -> None:
        nearest = self._images.nearest(entry.stamp)
        gap = None if nearest is None else abs(nearest - entry.stamp) / 1e9
        self._counters.unmatched += 1
        self._counters.last_gap = gap
        self._unmatched(Unmatched(entry.stamp, gap, self._images.has_forgotten(entry.stamp)))

    def _watch_clock(self, stream: str, stamp: int) -> None:
        if stamp == UNSET:
            self._counters.unset_stamps += 1
            return
        last, self._last[stream] = self._last[stream], stamp
        if stamp >= last:
            return
        self._counters.backward_stamps += 1
        future = stamp + CLOCK_JUMP_NS
        if last > future:
            self._forget_after(future)
            # The other streams are about to follow, which is the same jump, not another one.
            self._last = {name: min(newest, stamp) for name, newest in self._last.items()}

    def _forget_after(self, future: int) -> None:
        self._counters.clock_jumps += 1
        self._images.forget_after(future)
        self._masks.forget_after(future)
        kept = [entry for entry in self._pending if entry.stamp <= future]
        self._counters.withdrawn += len(self._pending) - len(kept)
        self._pending = kept


@dataclass(frozen=True)
class _Pending(Generic[Detections]):
    stamp: int
    detections: Detections
    since: float  # monotonic seconds
