"""When a caption may be used again, and what to caption next. Nothing here knows ROS.

A caption stands for its track while the track's id and class agree and its box moves plausibly
(`tracks`), what is in the box looks as it did, the object lies to its nearest neighbour as it did
(captions say such things), and the caption is young enough.

Kept captions are worth a second look: one of less confidence than usual is made once more from
another frame, and the better one stays.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from statistics import median
from typing import TYPE_CHECKING

from perceptiondlm_ros.ros.captioning.appearance import difference
from perceptiondlm_ros.ros.captioning.tracks import (
    Held,
    Look,
    Neighbour,
    Sighting,
    Tracks,
    direction,
)

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption

# Shares of a limit from which a caption is renewed: the new one is there before this one has to go.
_RENEW_CHANGED, _RENEW_OLD = 0.5, 0.7
_FARTHER = 0.1  # share by which the neighbour of then may be farther away than the nearest one
_LEAST = 1e-6
# Until the first retry of an uncertain caption, each later one twice as long; and at least so many
# times as long as a pass takes, since a slow model has better things to do.
_RETRY_S, _RETRY_PASSES = 0.3, 4
_CONFIDENCES_KEPT, _CONFIDENCES_NEEDED = 64, 8  # captions that "usual" is judged by


class Urgency(IntEnum):
    """Why a region is to be captioned, the most urgent first."""

    NEW = 0
    CHANGED = 1
    OLD = 2
    UNCERTAIN = 3


@dataclass(frozen=True)
class Limits:
    """What a caption may be used again for.

    max_age, max_gap: seconds, of the caption and of an object's absence.
    max_change: of the looks, as a fraction of the image's brightness.
    max_turn: of the direction to the nearest neighbour [rad]; pi or more leaves neighbours out.
    retries: how often a caption of less confidence than usual is made once more.
    budget: most regions captioned in a pass.
    """

    enabled: bool
    max_age: float
    max_gap: float
    max_change: float
    max_turn: float
    retries: int
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
        self._confidences: deque[float] = deque(maxlen=_CONFIDENCES_KEPT)
        self._usual = 0.0  # confidence
        self._newest_ns = 0  # stamp of the last frame

    def see(self, stamp_ns: int, sightings: Sequence[Sighting], limits: Limits) -> Scene:
        """Follow the tracks to the next frame."""
        with self._lock:
            self._newest_ns = stamp_ns
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
                caption, urgency = _judge(scene, look, self._usual)
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
                look.track.captioned = True
                newer = look.track.held is None or look.track.held.stamp_ns <= scene.stamp_ns
                if look.track.breaks == look.breaks and newer:
                    look.track.held = self._better(scene, look, caption)
                self._confidences.append(caption.confidence)
            if len(self._confidences) >= _CONFIDENCES_NEEDED:
                self._usual = median(self._confidences)

    def keep_drafts(self, scene: Scene, captions: Iterable[tuple[int, Caption]]) -> None:
        """Keep drafts, by place, for tracks that stayed the same and have no caption that holds."""
        with self._lock:
            for place, caption in captions:
                look = scene.looks[place]
                if look.track.breaks == look.breaks and not _judge(scene, look, self._usual)[0]:
                    look.track.held = _made(scene, look, caption, draft=True)

    def _better(self, scene: Scene, look: Look, caption: Caption) -> Held:
        """The new caption, unless the one that there is stands and has more confidence."""
        took_ns = max(self._newest_ns - scene.stamp_ns, 0)
        made = replace(_made(scene, look, caption), took_ns=took_ns)
        held, urgency = _judge(scene, look, self._usual)
        if held is None or held.draft or urgency is Urgency.CHANGED:
            return made
        better = urgency is not Urgency.OLD and held.caption.confidence >= caption.confidence
        return replace(
            held if better else made,
            retries=held.retries + 1,
            tried_ns=made.tried_ns,
            took_ns=took_ns,
        )

    def lose_captions(self) -> None:
        """Caption everything anew: another prompt."""
        with self._lock:
            self._tracks.lose_captions()

    def clear(self) -> None:
        """Forget everything: another stream, or the clock was set back."""
        with self._lock:
            self._tracks.clear()


def _made(scene: Scene, look: Look, caption: Caption, draft: bool = False) -> Held:
    return Held(
        caption,
        scene.stamp_ns,
        look.sighting.looks,
        look.neighbour,
        draft=draft,
        tried_ns=scene.stamp_ns,
    )


def _judge(scene: Scene, look: Look, usual: float) -> tuple[Held | None, Urgency | None]:
    """The caption that may be used again, and why a new one is wanted nevertheless.

    usual: the confidence that half of the captions have.
    """
    limits, track = scene.limits, look.track
    held = track.held if track.breaks == look.breaks else None
    if not limits.enabled or not scene.stamp_ns or held is None:
        return None, Urgency.CHANGED if track.captioned else Urgency.NEW
    change = difference(held.looks, look.sighting.looks) / max(limits.max_change, _LEAST)
    if limits.max_turn < math.pi:
        change = max(change, _rearrangement(held.neighbour, look, limits.max_turn))
    age = (scene.stamp_ns - held.stamp_ns) / 1e9 / max(limits.max_age, _LEAST)
    urgency = None
    if held.draft:
        urgency = Urgency.NEW
    elif change > _RENEW_CHANGED:
        urgency = Urgency.CHANGED
    elif age > _RENEW_OLD:
        urgency = Urgency.OLD
    elif held.caption.confidence < usual and held.retries < limits.retries:
        waited = (scene.stamp_ns - held.tried_ns) / 1e9
        patience = max(_RETRY_S * 2**held.retries, _RETRY_PASSES * held.took_ns / 1e9)
        urgency = Urgency.UNCERTAIN if waited >= patience else None
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
