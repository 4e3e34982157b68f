"""Looks at the node's parts now and then, and works out what can be seen of them.

Callbacks and workers only count, so none of them pays for rates and ages. Nothing here knows ROS.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import psutil

from perceptiondlm_ros.ros.health.faults import Failure
from perceptiondlm_ros.ros.health.judging import Input, Situation
from perceptiondlm_ros.ros.health.monitor import Counters, Monitor
from perceptiondlm_ros.ros.health.status import Snapshot
from perceptiondlm_ros.ros.settings import Settings

_DROP = "dropped "  # before a reason, among the counts
_REASONS_TOLD = 3


class WatchedTopic(Protocol):
    """What is looked at of a topic that the node takes, see `inputs.subscription`."""

    @property
    def is_open(self) -> bool: ...

    def seen(self, age: float | None) -> Input: ...


class Rates:
    """How fast counts grow, and when each last grew, from looks at them now and then."""

    def __init__(self, span: float = 10.0) -> None:
        """Begin without any look. span: seconds over which a rate is averaged."""
        self._span = span
        self._looks: deque[tuple[float, dict[str, int]]] = deque()
        self._grew: dict[str, float] = {}

    def look(self, now: float, counts: Mapping[str, int]) -> None:
        """Take note of the counts. now: a monotonic clock, in seconds."""
        before = self._looks[-1][1] if self._looks else {}
        for name, count in counts.items():
            if name in before and count > before[name]:
                self._grew[name] = now
        self._looks.append((now, dict(counts)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= self._span:
            self._looks.popleft()

    def forget(self) -> None:
        """Begin anew: only what grows after the last look counts from now on."""
        while len(self._looks) > 1:
            self._looks.popleft()
        self._grew.clear()

    def grown(self, name: str) -> int:
        """What was added within the span."""
        if not self._looks:
            return 0
        return self._looks[-1][1].get(name, 0) - self._looks[0][1].get(name, 0)

    def rate(self, name: str) -> float:
        """Per second; 0 before the second look."""
        seconds = self._looks[-1][0] - self._looks[0][0] if self._looks else 0.0
        return self.grown(name) / seconds if seconds > 0 else 0.0

    def age(self, name: str) -> float | None:
        """Seconds from the look that saw it grow to the last look; None if it never grew."""
        return self._looks[-1][0] - self._grew[name] if name in self._grew else None


class Watch:
    """Follows one node. images, detections, masks: its topics.

    settings: gives the present ones. now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        monitor: Monitor,
        images: WatchedTopic,
        detections: WatchedTopic,
        masks: WatchedTopic,
        settings: Callable[[], Settings],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monitor = monitor
        self._images = images
        self._detections = detections
        self._masks = masks
        self._settings = settings
        self._now = now
        self._rates = Rates()
        self._since = 0.0  # of the activity that was seen last

    def look(self) -> tuple[Situation, dict[str, str]]:
        """The situation, and everything worth knowing of it by name, units in brackets."""
        now, snapshot = self._now(), self._monitor.status.snapshot()
        if snapshot.since != self._since:
            self._since = snapshot.since
            self._rates.forget()
        self._rates.look(now, _counts(self._monitor.counters))
        situation = self._situation(now, snapshot)
        return situation, self._values(situation, snapshot)

    def _situation(self, now: float, snapshot: Snapshot) -> Situation:
        rates, settings = self._rates, self._settings()
        counters, published = self._monitor.counters, snapshot.last_published
        return Situation(
            activity=snapshot.activity,
            images=self._images.seen(rates.age("images")),
            detections=self._detections.seen(rates.age("detections")),
            masks=self._masks.seen(rates.age("masks")) if self._masks.is_open else None,
            activity_for=now - snapshot.since,
            detail=snapshot.detail,
            failure=self._failure(snapshot),
            failures=snapshot.failures,
            pass_for=now - snapshot.pass_since if snapshot.pass_since is not None else 0.0,
            pass_usual=quantile(snapshot.pass_times, 0.5) or 0.0,
            matched=rates.grown("matched"),
            unmatched=rates.grown("unmatched"),
            forgotten=rates.grown("images_forgotten"),
            masks_missing=rates.grown("masks_missing"),
            gap=counters.last_gap,
            tolerance=settings.matching.tolerance,
            dropped=self._why_nothing_is_captioned(),
            low_bits=counters.low_bits if rates.grown("images_of_low_bits") else 0,
            published_rate=rates.rate("published"),
            published_age=now - published if published is not None else None,
            stale_after=settings.diagnostics.stale_after,
        )

    def _failure(self, snapshot: Snapshot) -> Failure | None:
        if snapshot.failures:
            return snapshot.failure
        only_failed = self._rates.grown("frames_failed") and not self._rates.grown("published")
        return snapshot.unreadable or snapshot.failure if only_failed else None

    def _why_nothing_is_captioned(self) -> str:
        rates = self._rates
        some = rates.grown("regions_captioned") or rates.grown("regions_reused")
        if some or not rates.grown("regions_dropped"):
            return ""
        reasons = list(self._monitor.counters.drop_reasons)
        lately = {why: rates.grown(_DROP + why) for why in reasons}
        most = sorted(lately.items(), key=lambda item: -item[1])[:_REASONS_TOLD]
        told = ", ".join(f"{count} {why}" for why, count in most if count)
        return f"{rates.grown('regions_dropped')} dropped lately{told and f': {told}'}"

    def _values(self, seen: Situation, snapshot: Snapshot) -> dict[str, str]:
        rates, counters = self._rates, self._monitor.counters
        regions = rates.grown("regions_captioned") + rates.grown("regions_reused")
        reused = 100 * rates.grown("regions_reused") / regions if regions else None
        last = snapshot.unreadable or snapshot.failure
        return {
            "activity": seen.activity.value,
            "activity for [s]": _number(seen.activity_for, 1),
            "detail": seen.detail,
            "model": snapshot.model,
            "image topic": seen.images.topic,
            "image publishers": str(seen.images.publishers),
            "image rate [Hz]": _number(rates.rate("images"), 1),
            "detections topic": seen.detections.topic,
            "detections publishers": str(seen.detections.publishers),
            "detections rate [Hz]": _number(rates.rate("detections"), 1),
            "masks rate [Hz]": _number(rates.rate("masks"), 1),
            "published frames rate [Hz]": _number(seen.published_rate, 2),
            "captioned frames rate [Hz]": _number(rates.rate("frames_captioned"), 2),
            "latency p50 [s]": _number(quantile(snapshot.latencies, 0.5), 3),
            "latency p95 [s]": _number(quantile(snapshot.latencies, 0.95), 3),
            "pass p50 [s]": _number(quantile(snapshot.pass_times, 0.5), 3),
            "pass p95 [s]": _number(quantile(snapshot.pass_times, 0.95), 3),
            "draft p50 [s]": _number(quantile(snapshot.draft_times, 0.5), 3),
            "reused captions [%]": _number(reused, 1),
            "age of the last descriptions [s]": _number(seen.published_age, 1),
            "last stamp gap [s]": _number(counters.last_gap, 3),
            "memory of the process [MB]": _number(_resident_mb(), 0),
            "failures in a row": str(seen.failures),
            "last error": last.reason if last else "",
            "images that use few of 16 bits": str(counters.images_of_low_bits),
            "frames captioned": str(counters.frames_captioned),
            "frames with reused captions alone": str(counters.frames_reused),
            "regions captioned": str(counters.regions_captioned),
            "regions reused": str(counters.regions_reused),
            "requests served": str(counters.requests_served),
            **{f"lost: {words}": str(count) for words, count in counters.by_cause().items()},
            **{f"dropped regions: {why}": str(n) for why, n in list(counters.drop_reasons.items())},
        }


def _counts(counters: Counters) -> dict[str, int]:
    return {
        "matched": counters.matched_exact + counters.matched_nearest,
        "published": counters.frames_captioned + counters.frames_reused,
        **{name: count for name, count in vars(counters).items() if isinstance(count, int)},
        **{_DROP + why: count for why, count in list(counters.drop_reasons.items())},
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of them lie; None if there are none."""
    return float(np.quantile(values, share)) if values else None


def _resident_mb() -> float | None:
    """Main memory of this process; None where the system doesn't tell."""
    try:
        return psutil.Process().memory_info().rss / 2**20  # type: ignore[no-any-return]
    except (OSError, psutil.Error):
        return None


def _number(value: float | None, digits: int) -> str:
    """Empty where it is not known."""
    return "" if value is None else f"{value:.{digits}f}"
