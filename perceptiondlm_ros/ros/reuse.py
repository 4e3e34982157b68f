"""When a caption may be used again, and what to caption next. Nothing here knows ROS.

A caption stands for its track while the track's id and class agree and its box moves plausibly
(`tracks`), what is in the box looks as it did, the object lies to its nearest neighbour as it did
(captions say such things), and the caption is young enough.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from perceptiondlm_ros.ros.appearance import difference
from perceptiondlm_ros.ros.tracks import Held, Look, Neighbour, Sighting, Tracks, direction

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption

# Shares of a limit from which a caption is renewed: the new one is there before this one has to go.
_RENEW_CHANGED, _RENEW_OLD = 0.5, 0.7
_FARTHER = 0.1  # share by which the neighbour of then may be farther away than the nearest one
_LEAST = 1e-6


class Urgency(IntEnum):
    """Why a region is to be captioned, the most urgent first."""

    NEW = 0
    CHANGED = 1
    OLD = 2


@dataclass(frozen=True)
class Limits:
    """What a caption may be used again for.

    max_age, max_gap: seconds, of the caption and of an object's absence.
    max_change: of the looks, as a fraction of the image's brightness.
    max_turn: of the direction to the nearest neighbour [rad]; pi or more leaves neighbours out.
    budget: most regions captioned in a pass.
    """

    enabled: bool
    max_age: float
    max_gap: float
    max_change: float
    max_turn: float
    budget: int


@dataclass(frozen=True)
class Scene:
    """The regions of one frame in the order of its detections, each tied to its track.

    stamp_ns: the image's; 0 is unset, and then nothing is used again, as no age is known.
    """

    stamp_ns: int
    limits: Limits
    looks: tuple[Look, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(look.track.name for look in self.looks)


@dataclass(frozen=True)
class Plan:
    """For regions by their place in the scene: the captions that hold, and what to caption.

    wanted: the most urgent ones first, at most as many as the budget allows.
    waiting: how many more there are beyond the budget.
    """

    held: Mapping[int, Held]
    wanted: tuple[int, ...]
    waiting: int = 0


class Reuse:
    """The captions that are kept. Every method may be called from any thread and returns soon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tracks = Tracks()

    def see(self, stamp_ns: int, sightings: Sequence[Sighting], limits: Limits) -> Scene:
        """Follow the tracks to the next frame."""
        with self._lock:
            looks = self._tracks.see(
                stamp_ns,
                sightings,
                tolerance=limits.max_change,
                forget_ns=round(limits.max_gap * 1e9),
            )
        return Scene(stamp_ns, limits, tuple(looks))

    def plan(self, scene: Scene) -> Plan:
        """What is known by now of a frame, and what is to be captioned of it."""
        held: dict[int, Held] = {}
        wanted: list[tuple[Urgency, int, int]] = []  # urgency, caption's stamp, place
        with self._lock:
            for place, look in enumerate(scene.looks):
                caption, urgency = _judge(scene, look)
                if caption is not None:
                    held[place] = caption
                if urgency is not None:
                    since = look.track.held.stamp_ns if look.track.held else 0
                    wanted.append((urgency, since, place))
        places = tuple(place for *_, place in sorted(wanted))
        budget = scene.limits.budget if scene.limits.enabled else len(places)
        return Plan(held, places[:budget], max(len(places) - budget, 0))

    def keep(self, scene: Scene, captions: Iterable[tuple[int, Caption]]) -> None:
        """Keep captions made of this frame, by place, for tracks that stayed the same since."""
        with self._lock:
            for place, caption in captions:
                look = scene.looks[place]
                track = look.track
                track.captioned = True
                newer = track.held is None or track.held.stamp_ns <= scene.stamp_ns
                if track.breaks == look.breaks and newer:
                    track.held = Held(caption, scene.stamp_ns, look.sighting.looks, look.neighbour)

    def lose_captions(self) -> None:
        """Caption everything anew: another prompt."""
        with self._lock:
            self._tracks.lose_captions()

    def clear(self) -> None:
        """Forget everything: another stream, or the clock was set back."""
        with self._lock:
            self._tracks.clear()


def _judge(scene: Scene, look: Look) -> tuple[Held | None, Urgency | None]:
    """The caption that may be used again, and why a new one is wanted nevertheless."""
    limits, track = scene.limits, look.track
    held = track.held if track.breaks == look.breaks else None
    if not limits.enabled or not scene.stamp_ns or held is None:
        return None, Urgency.CHANGED if track.captioned else Urgency.NEW
    change = difference(held.looks, look.sighting.looks) / max(limits.max_change, _LEAST)
    if limits.max_turn < math.pi:
        change = max(change, _rearrangement(held.neighbour, look, limits.max_turn))
    age = (scene.stamp_ns - held.stamp_ns) / 1e9 / max(limits.max_age, _LEAST)
    urgency = None
    if change > _RENEW_CHANGED:
        urgency = Urgency.CHANGED
    elif age > _RENEW_OLD:
        urgency = Urgency.OLD
    return held if max(change, age) <= 1 else None, urgency


def _rearrangement(then: Neighbour | None, look: Look, max_turn: float) -> float:
    """How far the nearest neighbour has become another one, or turned away; from 1 on it has."""
    now = look.neighbour
    if then is None or now is None:
        return 0.0 if then is now else math.inf
    seen = look.others.get(then.track)
    if seen is None:
        return math.inf
    centre = look.sighting.centre
    nearest = math.dist(centre, look.others[now.track].centre)
    farther = (math.dist(centre, seen.centre) / max(nearest, _LEAST) - 1) / _FARTHER
    present = direction(centre, seen)
    if then.direction is None or present is None:
        return farther
    turned = abs(present - then.direction)
    return max(farther, min(turned, 2 * math.pi - turned) / max(max_turn, _LEAST))
