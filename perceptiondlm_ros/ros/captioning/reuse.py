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

from perceptiondlm_ros.ros.captioning.tracks import (
    Association,
    KeptCaption,
    Measurement,
    Neighbour,
    Tracks,
    difference,
    direction,
)
from perceptiondlm_ros.ros.settings import ReuseSettings

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
class TrackedFrame:
    """The regions of one frame in the order of its detections, each tied to its track.

    stamp_ns: the image's; 0 is unset, and then nothing is used again, as no age is known.
    """

    stamp_ns: int
    settings: ReuseSettings
    associations: tuple[Association, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(association.track.name for association in self.associations)


@dataclass(frozen=True)
class Plan:
    """For regions by their place in the frame: the captions that hold, and what to caption.

    wanted: the most urgent ones first, at most as many as the budget allows.
    waiting: how many more there are beyond the budget.
    """

    kept: Mapping[int, KeptCaption]
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

    def track(
        self, stamp_ns: int, measurements: Sequence[Measurement], settings: ReuseSettings
    ) -> TrackedFrame:
        """Follow the tracks to the next frame."""
        with self._lock:
            self._newest_ns = stamp_ns
            associations = self._tracks.associate(
                stamp_ns,
                measurements,
                tolerance=settings.max_change,
                forget_ns=round(settings.max_gap * 1e9),
            )
        return TrackedFrame(stamp_ns, settings, tuple(associations))

    def plan(self, frame: TrackedFrame) -> Plan:
        """What is known by now of a frame, and what is to be captioned of it."""
        kept: dict[int, KeptCaption] = {}
        wanted: list[tuple[Urgency, int, int]] = []  # urgency, caption's stamp, place
        with self._lock:
            for place, association in enumerate(frame.associations):
                caption, urgency = _judge(frame, association, self._usual)
                if caption is not None:
                    kept[place] = caption
                if urgency is not None:
                    last = association.track.kept
                    wanted.append((urgency, last.stamp_ns if last else 0, place))
        places = tuple(place for *_, place in sorted(wanted))
        budget = frame.settings.budget if frame.settings.enabled else len(places)
        return Plan(kept, places[:budget], max(len(places) - budget, 0))

    def keep(self, frame: TrackedFrame, captions: Iterable[tuple[int, Caption]]) -> None:
        """Keep captions made of this frame, by place, for tracks that stayed the same since."""
        with self._lock:
            for place, caption in captions:
                association = frame.associations[place]
                track = association.track
                track.captioned = True
                newer = track.kept is None or track.kept.stamp_ns <= frame.stamp_ns
                if track.breaks == association.breaks and newer:
                    track.kept = self._better(frame, association, caption)
                self._confidences.append(caption.confidence)
            if len(self._confidences) >= _CONFIDENCES_NEEDED:
                self._usual = median(self._confidences)

    def keep_drafts(self, frame: TrackedFrame, captions: Iterable[tuple[int, Caption]]) -> None:
        """Keep drafts, by place, for tracks that stayed the same and have no caption that holds."""
        with self._lock:
            for place, caption in captions:
                association = frame.associations[place]
                track = association.track
                holds = _judge(frame, association, self._usual)[0] is not None
                if track.breaks == association.breaks and not holds:
                    track.kept = _made(frame, association, caption, draft=True)

    def lose_captions(self) -> None:
        """Caption everything anew: another prompt."""
        with self._lock:
            self._tracks.lose_captions()

    def clear(self) -> None:
        """Forget everything: another stream, or the clock was set back."""
        with self._lock:
            self._tracks.clear()

    def _better(
        self, frame: TrackedFrame, association: Association, caption: Caption
    ) -> KeptCaption:
        """The new caption, unless the one that there is stands and has more confidence."""
        took_ns = max(self._newest_ns - frame.stamp_ns, 0)
        made = replace(_made(frame, association, caption), took_ns=took_ns)
        kept, urgency = _judge(frame, association, self._usual)
        if kept is None or kept.draft or urgency is Urgency.CHANGED:
            return made
        better = urgency is not Urgency.OLD and kept.caption.confidence >= caption.confidence
        return replace(
            kept if better else made,
            retries=kept.retries + 1,
            tried_ns=made.tried_ns,
            took_ns=took_ns,
        )


def _made(
    frame: TrackedFrame, association: Association, caption: Caption, draft: bool = False
) -> KeptCaption:
    return KeptCaption(
        caption,
        frame.stamp_ns,
        association.measurement.appearance,
        association.neighbour,
        draft=draft,
        tried_ns=frame.stamp_ns,
    )


def _judge(
    frame: TrackedFrame, association: Association, usual: float
) -> tuple[KeptCaption | None, Urgency | None]:
    """The caption that may be used again, and why a new one is wanted nevertheless.

    usual: the confidence that half of the captions have.
    """
    settings, track = frame.settings, association.track
    kept = track.kept if track.breaks == association.breaks else None
    if not settings.enabled or not frame.stamp_ns or kept is None:
        return None, Urgency.CHANGED if track.captioned else Urgency.NEW
    changed = difference(kept.appearance, association.measurement.appearance)
    change = changed / max(settings.max_change, _LEAST)
    if settings.max_turn < math.pi:
        change = max(change, _rearrangement(kept.neighbour, association, settings.max_turn))
    age = (frame.stamp_ns - kept.stamp_ns) / 1e9 / max(settings.max_age, _LEAST)
    urgency = None
    if kept.draft:
        urgency = Urgency.NEW
    elif change > _RENEW_CHANGED:
        urgency = Urgency.CHANGED
    elif age > _RENEW_OLD:
        urgency = Urgency.OLD
    elif kept.caption.confidence < usual and kept.retries < settings.retries:
        waited = (frame.stamp_ns - kept.tried_ns) / 1e9
        due = max(_RETRY_S * 2**kept.retries, _RETRY_PASSES * kept.took_ns / 1e9)
        urgency = Urgency.UNCERTAIN if waited >= due else None
    return kept if max(change, age) <= 1 else None, urgency


def _rearrangement(then: Neighbour | None, association: Association, max_turn: float) -> float:
    """How far the nearest neighbour has become another one, or turned away; from 1 on it has."""
    now = association.neighbour
    if then is None or now is None:
        return 0.0 if then is now else math.inf
    last = association.others.get(then.track)
    if last is None:
        return math.inf
    centre = association.measurement.centre
    nearest = math.dist(centre, association.others[now.track].centre)
    farther = (math.dist(centre, last.centre) / max(nearest, _LEAST) - 1) / _FARTHER
    present = direction(centre, last)
    if then.direction is None or present is None:
        return farther
    turned = abs(present - then.direction)
    return max(farther, min(turned, 2 * math.pi - turned) / max(max_turn, _LEAST))
