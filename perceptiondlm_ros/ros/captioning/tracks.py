"""Objects followed from frame to frame: by the detector's ids, or where there are none, by overlap.

A detector's id alone is not believed: it counts together with the class, as long as the box moves
as things do and what is in it does not change from one frame to the next. Nothing here knows ROS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.ros.captioning.appearance import Signature, difference

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box, Caption

_LEAST_OVERLAP = 0.3  # intersection over union of boxes that are taken for one object
_REACH, _SPEED = 0.5, 4.0  # box sides that a centre may move: at once, and in a second
_LARGEST_GROWTH = 3.0  # factor by which a box's side may change between two sightings
_SUDDEN_S = 0.3  # sightings closer than this show nearly the same
_SUDDEN_SHARE = 0.6  # of the tolerance: between such sightings looks change less than over time


@dataclass(frozen=True)
class Sighting:
    """A region as it is seen on one frame. box: x0, y0, x1, y1 in pixels, not empty."""

    id: str
    label: str
    box: Box
    looks: Signature

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def side(self) -> float:
        return math.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Neighbour:
    """The nearest other object: its track, and where it lies [rad], None where boxes are nested."""

    track: Track
    direction: float | None


@dataclass(frozen=True)
class Held:
    """A caption with what it was made from: the stamp of the image, the looks, the neighbour.

    draft: made in fewer denoising steps; the pass goes on.
    retries: how often the model was asked once more without a change; the last time at tried_ns,
        which took it took_ns.
    """

    caption: Caption
    stamp_ns: int
    looks: Signature
    neighbour: Neighbour | None
    draft: bool = False
    retries: int = 0
    tried_ns: int = 0
    took_ns: int = 0


@dataclass(eq=False)
class Track:
    """An object. breaks: how often it turned out to be another one; a caption holds for none."""

    name: str
    seen: Sighting
    seen_ns: int
    held: Held | None = None
    captioned: bool = False
    breaks: int = 0

    def lose_caption(self) -> None:
        self.held = None
        self.breaks += 1


@dataclass(frozen=True)
class Look:
    """One region's place in the order of things at one frame, unchanged by later frames."""

    track: Track
    breaks: int
    sighting: Sighting
    neighbour: Neighbour | None
    others: Mapping[Track, Sighting]  # every object as it was last seen, this one included


class Tracks:
    """All objects seen of late."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Track] = {}
        self._by_overlap: list[Track] = []
        self._numbers = count(1)

    def see(
        self, stamp_ns: int, sightings: Sequence[Sighting], *, tolerance: float, forget_ns: int
    ) -> list[Look]:
        """Find the track of each sighting of one frame, or begin one.

        tolerance: difference of signatures above which something looks changed.
        forget_ns: time after which an object that was not seen is forgotten.
        """
        self._forget(stamp_ns - forget_ns)
        tracks: dict[int, Track] = {}
        often = Counter(sighting.id for sighting in sightings)
        for index, sighting in enumerate(sightings):
            # An id that several detections bear tells nothing.
            if sighting.id and often[sighting.id] == 1:
                tracks[index] = self._by_detector(stamp_ns, sighting)
        rest = [index for index in range(len(sightings)) if index not in tracks]
        tracks |= self._overlapping(stamp_ns, rest, sightings)
        for index, sighting in enumerate(sightings):
            _continue(tracks[index], stamp_ns, sighting, tolerance)
        everything = list(self._all())
        others = {track: track.seen for track in everything}
        nearest = _neighbours(list(tracks.values()), everything)
        return [
            Look(tracks[index], tracks[index].breaks, sighting, nearest.get(tracks[index]), others)
            for index, sighting in enumerate(sightings)
        ]

    def lose_captions(self) -> None:
        for track in self._all():
            track.lose_caption()

    def clear(self) -> None:
        self.lose_captions()  # a pass that runs may still hold some
        self._by_id.clear()
        self._by_overlap.clear()

    def _all(self) -> Iterable[Track]:
        yield from self._by_id.values()
        yield from self._by_overlap

    def _forget(self, before_ns: int) -> None:
        """A forgotten track's caption goes too: it names a neighbour, and so on, without an end"""
        for track in self._all():
            if track.seen_ns < before_ns:
                track.lose_caption()
        self._by_id = {key: t for key, t in self._by_id.items() if t.seen_ns >= before_ns}
        self._by_overlap = [t for t in self._by_overlap if t.seen_ns >= before_ns]

    def _by_detector(self, stamp_ns: int, sighting: Sighting) -> Track:
        key = (sighting.id, sighting.label)
        if key not in self._by_id:
            self._by_id[key] = Track(sighting.id, sighting, stamp_ns)
        return self._by_id[key]

    def _overlapping(
        self, stamp_ns: int, indices: Sequence[int], sightings: Sequence[Sighting]
    ) -> dict[int, Track]:
        """Best overlaps first, within a class; what overlaps nothing begins a track."""
        found: dict[int, Track] = {}
        free = list(self._by_overlap)
        if free and indices:
            overlaps = _overlaps([sightings[i] for i in indices], [track.seen for track in free])
            taken: set[int] = set()
            for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
                row, column = divmod(flat, len(free))
                if overlaps[row, column] < _LEAST_OVERLAP:
                    break
                if indices[row] not in found and column not in taken:
                    found[indices[row]] = free[column]
                    taken.add(column)
        for index in indices:
            if index not in found:
                track = Track(f"~{next(self._numbers)}", sightings[index], stamp_ns)
                self._by_overlap.append(track)
                found[index] = track
        return found


def _continue(track: Track, stamp_ns: int, sighting: Sighting, tolerance: float) -> None:
    """Move the track to a sighting; if it can't be the same object, its caption is lost."""
    elapsed = max(stamp_ns - track.seen_ns, 0) / 1e9
    changed = difference(track.seen.looks, sighting.looks)
    sudden = elapsed <= _SUDDEN_S and changed > _SUDDEN_SHARE * tolerance
    if sudden or not _plausible(track.seen, sighting, elapsed):
        track.lose_caption()
    track.seen, track.seen_ns = sighting, stamp_ns


def _plausible(before: Sighting, after: Sighting, elapsed: float) -> bool:
    side = max(before.side, after.side)
    growth = side / max(min(before.side, after.side), 1e-9)
    moved = math.dist(before.centre, after.centre)
    return growth <= _LARGEST_GROWTH and moved <= side * (_REACH + _SPEED * elapsed)


def _neighbours(some: Sequence[Track], every: Sequence[Track]) -> dict[Track, Neighbour]:
    """For some tracks the other one with the nearest centre; nothing for a lone one.

    Only for some: where a detector's ids never last, `every` soon holds thousands.
    """
    if len(every) < 2:
        return {}
    places = {track: place for place, track in enumerate(every)}
    own = [places[track] for track in some]
    centres = np.array([track.seen.centre for track in every])
    x, y = (centres[own][:, None] - centres[None]).transpose(2, 0, 1)
    apart = np.hypot(x, y)
    apart[np.arange(len(own)), own] = np.inf
    nearest = apart.argmin(axis=1).tolist()
    return {
        track: Neighbour(every[other], direction(track.seen.centre, every[other].seen))
        for track, other in zip(some, nearest, strict=True)
    }


def direction(centre: tuple[float, float], other: Sighting) -> float | None:
    """Where `other` lies as seen from `centre` [rad], None where it lies about the same place."""
    x, y = other.centre[0] - centre[0], other.centre[1] - centre[1]
    return math.atan2(y, x) if math.hypot(x, y) > other.side / 4 else None


def _overlaps(one: Sequence[Sighting], other: Sequence[Sighting]) -> NDArray[np.float64]:
    """Intersection over union of each of `one` with each of `other`, 0 across classes."""
    a = np.array([item.box for item in one], np.float64)[:, None]
    b = np.array([item.box for item in other], np.float64)[None]
    same = np.array([[item.label == its.label for its in other] for item in one])
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    overlaps: NDArray[np.float64] = same * shared / np.maximum(areas - shared, 1e-9)
    return overlaps
