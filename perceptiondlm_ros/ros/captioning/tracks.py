"""Objects tracked from frame to frame: by the detector's ids, or where there are none, by overlap.

A detector's id alone is not believed: it counts together with the class, as long as the box moves
as things do and what is in it does not change from one frame to the next. Nothing here knows ROS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Box, Caption

Appearance = NDArray[np.float32]
"""[CELLS, CELLS, 3], mean red, green and blue of each cell of a box, relative to the image's."""

CELLS = 4
_SAMPLES = 8  # a side of a cell: many enough to average over patterns and noise
_STRIDE = 16  # of the pixels that the image's brightness is taken from

_LEAST_OVERLAP = 0.3  # intersection over union of boxes that are taken for one object
_REACH, _SPEED = 0.5, 4.0  # box sides that a centre may move: at once, and in a second
_LARGEST_GROWTH = 3.0  # factor by which a box's side may change from frame to frame
_SUDDEN_S = 0.3  # frames closer than this show nearly the same
_SUDDEN_SHARE = 0.6  # of the tolerance: between such frames appearances change less than over time


@dataclass(frozen=True)
class Measurement:
    """A region as it is on one frame. box: x0, y0, x1, y1 in pixels, not empty."""

    id: str
    label: str
    box: Box
    appearance: Appearance

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
class KeptCaption:
    """A caption with what it was made from: the image's stamp, the appearance, the neighbour.

    draft: made in fewer denoising steps; the pass goes on.
    retries: how often the model was asked once more without a change; the last time at tried_ns,
        which took it took_ns.
    """

    caption: Caption
    stamp_ns: int
    appearance: Appearance
    neighbour: Neighbour | None
    draft: bool = False
    retries: int = 0
    tried_ns: int = 0
    took_ns: int = 0


@dataclass(eq=False)
class Track:
    """An object. breaks: how often it turned out to be another one; a caption holds for none.

    last, last_ns: its newest measurement, and the stamp of that frame.
    """

    name: str
    last: Measurement
    last_ns: int
    kept: KeptCaption | None = None
    captioned: bool = False
    breaks: int = 0

    def lose_caption(self) -> None:
        self.kept = None
        self.breaks += 1


@dataclass(frozen=True)
class Association:
    """One measurement and the track that it belongs to, unchanged by later frames.

    others: the newest measurement of every track by then, this one included.
    """

    track: Track
    breaks: int
    measurement: Measurement
    neighbour: Neighbour | None
    others: Mapping[Track, Measurement]


class Tracks:
    """The tracks of all objects of late."""

    def __init__(self) -> None:
        self._by_id: dict[tuple[str, str], Track] = {}
        self._by_overlap: list[Track] = []
        self._numbers = count(1)

    def associate(
        self,
        stamp_ns: int,
        measurements: Sequence[Measurement],
        *,
        tolerance: float,
        forget_ns: int,
    ) -> list[Association]:
        """Find the track of each measurement of one frame, or begin one.

        tolerance: difference of appearances above which something has changed.
        forget_ns: time after which an object that was not seen is forgotten.
        """
        self._forget(stamp_ns - forget_ns)
        tracks: dict[int, Track] = {}
        often = Counter(measurement.id for measurement in measurements)
        for index, measurement in enumerate(measurements):
            # An id that several detections bear tells nothing.
            if measurement.id and often[measurement.id] == 1:
                key = measurement.id, measurement.label
                if key not in self._by_id:
                    self._by_id[key] = Track(measurement.id, measurement, stamp_ns)
                tracks[index] = self._by_id[key]
        rest = [index for index in range(len(measurements)) if index not in tracks]
        tracks |= self._overlapping(stamp_ns, rest, measurements)
        for index, measurement in enumerate(measurements):
            _continue(tracks[index], stamp_ns, measurement, tolerance)
        everything = list(self._all())
        others = {track: track.last for track in everything}
        nearest = _neighbours(list(tracks.values()), everything)
        return [
            Association(track, track.breaks, measurement, nearest.get(track), others)
            for index, measurement in enumerate(measurements)
            for track in [tracks[index]]
        ]

    def lose_captions(self) -> None:
        for track in self._all():
            track.lose_caption()

    def clear(self) -> None:
        self.lose_captions()  # a pass that runs may still hold some
        self._by_id.clear()
        self._by_overlap.clear()

    def _all(self) -> Iterator[Track]:
        yield from self._by_id.values()
        yield from self._by_overlap

    def _forget(self, before_ns: int) -> None:
        """A forgotten track's caption goes too: it names a neighbour, and so on, without an end"""
        for track in self._all():
            if track.last_ns < before_ns:
                track.lose_caption()
        self._by_id = {key: t for key, t in self._by_id.items() if t.last_ns >= before_ns}
        self._by_overlap = [t for t in self._by_overlap if t.last_ns >= before_ns]

    def _overlapping(
        self, stamp_ns: int, indices: Sequence[int], measurements: Sequence[Measurement]
    ) -> dict[int, Track]:
        """Best overlaps first, within a class; what overlaps nothing begins a track."""
        found: dict[int, Track] = {}
        free = list(self._by_overlap)
        if free and indices:
            overlaps = _overlaps([measurements[i] for i in indices], [track.last for track in free])
            taken: set[int] = set()
            for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
                own, other = divmod(flat, len(free))
                if overlaps[own, other] < _LEAST_OVERLAP:
                    break
                if indices[own] not in found and other not in taken:
                    found[indices[own]] = free[other]
                    taken.add(other)
        for index in indices:
            if index not in found:
                found[index] = Track(f"~{next(self._numbers)}", measurements[index], stamp_ns)
                self._by_overlap.append(found[index])
        return found


def brightness(pixels: NDArray[np.uint8]) -> float:
    """Mean of the image (uint8 [H, W, 3]); what the camera's exposure moves up and down."""
    return float(max(pixels[::_STRIDE, ::_STRIDE].mean(), 1.0))


def appearance(pixels: NDArray[np.uint8], box: Box, level: float) -> Appearance:
    """The appearance of a box that has a part inside the image (uint8 [H, W, 3]).

    level: the image's `brightness`; appearances are relative to it, so that an exposure that
    follows the light changes none.
    """
    height, width = pixels.shape[:2]
    columns = _sample(box[0], box[2], width)
    rows = _sample(box[1], box[3], height)
    samples = pixels[rows[:, None], columns].reshape(CELLS, _SAMPLES, CELLS, _SAMPLES, 3)
    means: Appearance = samples.mean(axis=(1, 3), dtype=np.float32) / np.float32(level)
    return means


def difference(one: Appearance, other: Appearance) -> float:
    """Mean difference of two appearances, as a fraction of the image's brightness."""
    return float(np.abs(one - other).mean())


def direction(centre: tuple[float, float], other: Measurement) -> float | None:
    """Where `other` lies as seen from `centre` [rad], None where it lies about the same place."""
    x, y = other.centre[0] - centre[0], other.centre[1] - centre[1]
    return math.atan2(y, x) if math.hypot(x, y) > other.side / 4 else None


def _sample(low: float, high: float, size: int) -> NDArray[np.int64]:
    """Evenly spread pixels of one axis of a box, inside the image."""
    low, high = max(low, 0.0), min(high, float(size))
    number = CELLS * _SAMPLES
    places = low + (np.arange(number) + 0.5) * ((high - low) / number)
    return np.clip(places.astype(np.int64), 0, size - 1)


def _continue(track: Track, stamp_ns: int, measurement: Measurement, tolerance: float) -> None:
    """Move the track to a measurement; if it can't be the same object, its caption is lost."""
    before, elapsed = track.last, max(stamp_ns - track.last_ns, 0) / 1e9
    changed = difference(before.appearance, measurement.appearance)
    sudden = elapsed <= _SUDDEN_S and changed > _SUDDEN_SHARE * tolerance
    side = max(before.side, measurement.side)
    growth = side / max(min(before.side, measurement.side), 1e-9)
    moved = math.dist(before.centre, measurement.centre)
    reached = moved <= side * (_REACH + _SPEED * elapsed)
    if sudden or growth > _LARGEST_GROWTH or not reached:
        track.lose_caption()
    track.last, track.last_ns = measurement, stamp_ns


def _neighbours(some: Sequence[Track], every: Sequence[Track]) -> dict[Track, Neighbour]:
    """For some tracks the other one with the nearest centre; nothing for a lone one.

    Only for some: where a detector's ids never last, `every` soon holds thousands.
    """
    if len(every) < 2:
        return {}
    places = {track: place for place, track in enumerate(every)}
    own = [places[track] for track in some]
    centres = np.array([track.last.centre for track in every])
    x, y = (centres[own][:, None] - centres[None]).transpose(2, 0, 1)
    apart = np.hypot(x, y)
    apart[np.arange(len(own)), own] = np.inf
    nearest = apart.argmin(axis=1).tolist()
    return {
        track: Neighbour(every[other], direction(track.last.centre, every[other].last))
        for track, other in zip(some, nearest, strict=True)
    }


def _overlaps(one: Sequence[Measurement], other: Sequence[Measurement]) -> NDArray[np.float64]:
    """Intersection over union of each of `one` with each of `other`, 0 across classes."""
    a = np.array([item.box for item in one], np.float64)[:, None]
    b = np.array([item.box for item in other], np.float64)[None]
    same = np.array([[item.label == its.label for its in other] for item in one])
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    overlaps: NDArray[np.float64] = same * shared / np.maximum(areas - shared, 1e-9)
    return overlaps
