"""Where the messages of a topic lie in a bag, by their stamps: a few dozen bytes for each."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.messages.matching import CLOCK_JUMP_NS, UNSET, nearest

_WAIT_NS = 1_000_000_000
"""How long detections without a stamp wait for an image without one, as in the node."""

LATEST = (1 << 63) - 1
"""The last log time that is told apart, in ns."""


class StampIndex:
    """Messages of a topic by their places, in the order of the log: 0 is the first one of the bag.

    stamps, logs: of each place, in ns. The stamp of a message that can't be read is UNSET.
    """

    def __init__(self) -> None:
        self.stamps = array("q")
        self.logs = array("q")
        self._unreadable: set[int] = set()
        self._unset = array("q")

    def add(self, stamp: int | None, log_ns: int) -> None:
        """The next message. stamp: None: it can't be read, and is matched with nothing."""
        if stamp is None:
            self._unreadable.add(len(self.logs))
        elif stamp == UNSET:
            self._unset.append(len(self.logs))
        self.stamps.append(UNSET if stamp is None else stamp)
        self.logs.append(min(log_ns, LATEST))

    def is_readable(self, place: int) -> bool:
        return place not in self._unreadable

    def first_logged_with(self, place: int) -> int:
        """The first place with the log time of this one."""
        return bisect_left(self.logs, self.logs[place])

    def find(self, stamp: int, log_ns: int, tolerance: int) -> int | None:
        """The place of the message that belongs to another one's stamp.

        That of the same stamp, wherever it is, else the nearest within the tolerance. Where a clock
        was set back, so that such stamps come several times, those logged nearest are taken.

        Args:
            stamp, log_ns: of the other message, in ns.
            tolerance: largest difference of stamps in ns.
        """
        if stamp == UNSET:
            return self._find_unset(log_ns)
        places = self._between(stamp, stamp) or self._between(stamp - tolerance, stamp + tolerance)
        if not places:
            return None
        places = self._logged_nearest(places, log_ns)
        best = nearest((self.stamps[place] for place in places), stamp)
        places = [place for place in places if self.stamps[place] == best]
        # A stamp that was sent again means the newer message from then on, as in the node.
        earlier = [place for place in places if self.logs[place] <= log_ns]
        return earlier[-1] if earlier else places[0]

    def gap(self, stamp: int) -> float | None:
        """Seconds from a stamp to the nearest one; None where there is none."""
        if stamp == UNSET:
            return None
        place = int(np.searchsorted(self._sorted, stamp))
        around = self._sorted[max(place - 1, 0) : place + 1].tolist()
        found = nearest(around, stamp)
        return None if found is None else abs(found - stamp) / 1e9

    def _find_unset(self, log_ns: int) -> int | None:
        """The last one before, else the first one within the time that the node would wait."""
        later = bisect_right(self._unset, log_ns, key=self.logs.__getitem__)
        if later:
            return self._unset[later - 1]
        first = next(iter(self._unset), None)
        return first if first is not None and self.logs[first] <= log_ns + _WAIT_NS else None

    def _between(self, low: int, high: int) -> list[int]:
        """Places of stamps from `low` to `high`, in the order of the bag."""
        first = np.searchsorted(self._sorted, low, "left")
        end = np.searchsorted(self._sorted, high, "right")
        return sorted(self._by_stamp[first:end].tolist())

    def _logged_nearest(self, places: list[int], log_ns: int) -> list[int]:
        """Those of the pass of the clock in which one was logged nearest to `log_ns`."""
        passes = [places[:1]]
        for before, place in pairwise(places):
            if self._is_another_pass(before, place):
                passes.append([])
            passes[-1].append(place)
        return min(passes, key=lambda one: min(abs(self.logs[p] - log_ns) for p in one))

    def _is_another_pass(self, before: int, place: int) -> bool:
        """Whether the clock was set back between two messages whose stamps are near each other.

        A single wrong stamp sets the clock back as well, but its neighbours are logged together.
        """
        apart = self.logs[place] - self.logs[before] > CLOCK_JUMP_NS
        jumps = np.searchsorted(self._jumps, [before, place], "right")
        return apart and bool(jumps[0] != jumps[1])

    @cached_property
    def _by_stamp(self) -> NDArray[np.int64]:
        """Places in the order of their stamps, without those that have none."""
        stamps: NDArray[np.int64] = np.asarray(self.stamps)
        order = np.argsort(stamps, kind="stable")
        known: NDArray[np.int64] = order[stamps[order] != UNSET]
        return known

    @cached_property
    def _sorted(self) -> NDArray[np.int64]:
        stamps: NDArray[np.int64] = np.asarray(self.stamps)
        return stamps[self._by_stamp]

    @cached_property
    def _jumps(self) -> NDArray[np.int64]:
        """Places at which the clock had been set back."""
        stamps: NDArray[np.int64] = np.asarray(self.stamps)
        places = np.flatnonzero(stamps != UNSET)
        known = stamps[places]
        return places[1:][known[1:] < known[:-1] - CLOCK_JUMP_NS]
