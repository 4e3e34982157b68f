"""Pairs detections with the image that they were made from, by stamp.

The exact stamp decides. Only when the image stream has gone past a stamp without it (the image was
lost, or the detector stamps by its own clock) is the nearest image within the tolerance taken.
Nothing here knows ROS: stamps are nanoseconds, messages are opaque.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Image = TypeVar("Image")
Detections = TypeVar("Detections")

# Streams of one camera are out of order by less than this; more is a clock that was set back.
CLOCK_JUMP_NS = 1_000_000_000
_UNSET = 0


class MatchCounters(Protocol):
    """What is counted here. A message is an image or an array of detections."""

    images: int
    detections: int
    matched_exact: int
    matched_nearest: int
    unmatched: int
    withdrawn: int
    unset_stamps: int
    backward_stamps: int
    clock_jumps: int  # backward by more than the streams can be out of order
    last_gap: float | None  # seconds from the last unmatched detections to the nearest image


@dataclass(frozen=True)
class _Pending(Generic[Detections]):
    stamp: int
    detections: Detections
    since: float  # monotonic seconds


class Matcher(Generic[Image, Detections]):
    """Bounded buffers of both streams; calls `matched` with each pair, at most once a detection.

    tolerance_ns: largest difference of stamps in a pair.
    images_kept: images remembered for detections that come later; older ones are forgotten.
    patience: seconds that detections wait for their exact image before `settle` gives up on it.
    unmatched: called with the stamp and the gap in seconds to the nearest image (None: no image).
    """

    def __init__(
        self,
        matched: Callable[[Image, Detections], None],
        unmatched: Callable[[int, float | None], None],
        counters: MatchCounters,
        tolerance_ns: int,
        images_kept: int,
        patience: float = 1.0,
    ) -> None:
        self.tolerance_ns = tolerance_ns
        self.images_kept = images_kept
        self._patience = patience
        self._matched = matched
        self._unmatched = unmatched
        self._counters = counters
        self._images: dict[int, Image] = {}
        self._pending: list[_Pending[Detections]] = []
        self._last = {"image": 0, "detections": 0}

    def add_image(self, stamp: int, image: Image) -> None:
        self._counters.images += 1
        self._watch_clock("image", stamp)
        self._images.pop(stamp, None)
        self._images[stamp] = image
        waiting, self._pending = self._pending, []
        for entry in waiting:
            self._decide(entry)
        while len(self._images) > max(self.images_kept, 1):
            del self._images[next(iter(self._images))]

    def add_detections(self, stamp: int, detections: Detections, now: float) -> None:
        """now: a monotonic clock, in seconds."""
        self._counters.detections += 1
        self._watch_clock("detections", stamp)
        self._decide(_Pending(stamp, detections, now))
        while len(self._pending) > max(self.images_kept, 1):
            self._give_up(self._pending.pop(0))

    def settle(self, now: float) -> None:
        """Decide on detections that have waited for `patience`: the exact image won't come."""
        waiting, self._pending = self._pending, []
        for entry in waiting:
            if now - entry.since < self._patience:
                self._pending.append(entry)
            else:
                self._take_nearest(entry)

    def clear(self) -> None:
        """Forget both streams; what was pending is counted as withdrawn."""
        self._counters.withdrawn += len(self._pending)
        self._pending.clear()
        self._images.clear()
        self._last = {"image": 0, "detections": 0}

    def _decide(self, entry: _Pending[Detections]) -> None:
        if entry.stamp in self._images:
            self._counters.matched_exact += 1
            self._matched(self._images[entry.stamp], entry.detections)
        elif entry.stamp != _UNSET and any(stamp > entry.stamp for stamp in self._images):
            self._take_nearest(entry)
        else:
            self._pending.append(entry)

    def _take_nearest(self, entry: _Pending[Detections]) -> None:
        nearest = self._nearest(entry.stamp)
        if nearest is None or abs(nearest - entry.stamp) > self.tolerance_ns:
            self._give_up(entry)
        else:
            self._counters.matched_nearest += 1
            self._matched(self._images[nearest], entry.detections)

    def _nearest(self, stamp: int) -> int | None:
        """An unset stamp is near to nothing: it says nothing about time."""
        stamps = [s for s in self._images if s != _UNSET] if stamp != _UNSET else []
        return min(stamps, key=lambda s: abs(s - stamp), default=None)

    def _give_up(self, entry: _Pending[Detections]) -> None:
        nearest = self._nearest(entry.stamp)
        gap = None if nearest is None else abs(nearest - entry.stamp) / 1e9
        self._counters.unmatched += 1
        self._counters.last_gap = gap
        self._unmatched(entry.stamp, gap)

    def _watch_clock(self, stream: str, stamp: int) -> None:
        if stamp == _UNSET:
            self._counters.unset_stamps += 1
            return
        last, self._last[stream] = self._last[stream], stamp
        if stamp >= last:
            return
        self._counters.backward_stamps += 1
        future = stamp + CLOCK_JUMP_NS
        if last > future:
            self._forget_after(future)
            # The other stream is about to follow, which is the same jump, not another one.
            self._last = {name: min(newest, stamp) for name, newest in self._last.items()}

    def _forget_after(self, future: int) -> None:
        self._counters.clock_jumps += 1
        self._images = {s: image for s, image in self._images.items() if s <= future}
        kept = [entry for entry in self._pending if entry.stamp <= future]
        self._counters.withdrawn += len(self._pending) - len(kept)
        self._pending = kept
