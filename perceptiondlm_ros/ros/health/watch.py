"""Looks at the node's parts now and then, and tells what can be seen of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from perceptiondlm_ros.ros.health.counters import Counters
from perceptiondlm_ros.ros.health.situation import Input, Situation
from perceptiondlm_ros.ros.health.statistics import Rates, quantile
from perceptiondlm_ros.ros.health.status import Snapshot, Status
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.text import one_line

_DROP = "dropped "  # before a reason, among the counts
_REASONS_TOLD = 3


class WatchedTopic(Protocol):
    """What is looked at of a topic that the node takes, see `inputs.subscription`."""

    topic: str

    @property
    def is_open(self) -> bool: ...

    @property
    def turned_down(self) -> Mapping[str, int]: ...

    def publishers(self) -> int: ...

    def mismatches(self) -> tuple[str, ...]: ...

    def elsewhere(self) -> tuple[str, ...]: ...


class Watch:
    """Callbacks and workers only count; everything else about rates and ages is worked out here.

    settings: gives the present ones. now: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        counters: Counters,
        status: Status,
        images: WatchedTopic,
        detections: WatchedTopic,
        masks: WatchedTopic,
        settings: Callable[[], Settings],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._status = status
        self._images = images
        self._detections = detections
        self._masks = masks
        self._settings = settings
        self._now = now
        self._rates = Rates()
        self._since = 0.0  # of the activity that was seen last

    def look(self) -> tuple[Situation, dict[str, str]]:
        """The situation, and everything worth knowing of it by name, units in brackets."""
        now, snapshot = self._now(), self._status.snapshot()
        if snapshot.since != self._since:
            self._since = snapshot.since
            self._rates.forget()
        self._rates.look(now, _counts(self._counters))
        situation = self._situation(now, snapshot)
        return situation, self._values(situation, snapshot)

    def _situation(self, now: float, snapshot: Snapshot) -> Situation:
        rates, settings = self._rates, self._settings()
        published = snapshot.last_published
        return Situation(
            activity=snapshot.activity,
            images=self._input(self._images, "images"),
            detections=self._input(self._detections, "detections"),
            masks=self._input(self._masks, "masks") if self._masks.is_open else None,
            activity_for=now - snapshot.since,
            detail=snapshot.detail,
            error=self._error(snapshot),
            failures=snapshot.failures,
            pass_for=now - snapshot.pass_since if snapshot.pass_since is not None else 0.0,
            pass_usual=quantile(self._status.pass_times(), 0.5) or 0.0,
            matched=rates.grown("matched"),
            unmatched=rates.grown("unmatched"),
            forgotten=rates.grown("images_forgotten"),
            masks_missing=rates.grown("masks_missing"),
            gap=self._counters.last_gap,
            tolerance=settings.matching.tolerance,
            dropped=self._why_nothing_is_captioned(),
            low_bits=self._counters.low_bits if rates.grown("images_of_low_bits") else 0,
            published_rate=rates.rate("published"),
            published_age=now - published if published is not None else None,
            stale_after=settings.diagnostics.stale_after,
        )

    def _input(self, stream: WatchedTopic, name: str) -> Input:
        publishers, mismatches = stream.publishers(), stream.mismatches()
        age = self._rates.age(name)
        if publishers and age is None and not mismatches and stream.turned_down:
            mismatches = (
                f"QoS of {stream.topic} incompatible ({', '.join(stream.turned_down)}): the "
                f"middleware turned a publisher down; see ros2 topic info -v {stream.topic}",
            )
        elsewhere = () if publishers or age is not None else stream.elsewhere()
        return Input(stream.topic, publishers, mismatches, age, elsewhere)

    def _error(self, snapshot: Snapshot) -> str:
        if snapshot.failures:
            return one_line(snapshot.last_error)
        rates = self._rates
        only_failed = rates.grown("frames_failed") and not rates.grown("published")
        return one_line(self._counters.last_error) if only_failed else ""

    def _why_nothing_is_captioned(self) -> str:
        rates = self._rates
        some = rates.grown("regions_captioned") or rates.grown("regions_reused")
        if some or not rates.grown("regions_dropped"):
            return ""
        lately = {why: rates.grown(_DROP + why) for why in list(self._counters.drop_reasons)}
        most = sorted(lately.items(), key=lambda item: -item[1])[:_REASONS_TOLD]
        told = ", ".join(f"{count} {why}" for why, count in most if count)
        return f"{rates.grown('regions_dropped')} dropped lately{told and f': {told}'}"

    def _values(self, seen: Situation, snapshot: Snapshot) -> dict[str, str]:
        rates, counters = self._rates, self._counters
        latencies, passes = self._status.latencies(), self._status.pass_times()
        regions = rates.grown("regions_captioned") + rates.grown("regions_reused")
        reused = 100 * rates.grown("regions_reused") / regions if regions else None
        return {
            "activity": seen.activity.value,
            "activity for [s]": _number(seen.activity_for, 1),
            "detail": seen.detail,
            "image topic": seen.images.topic,
            "image publishers": str(seen.images.publishers),
            "image rate [Hz]": _number(rates.rate("images"), 1),
            "detections topic": seen.detections.topic,
            "detections publishers": str(seen.detections.publishers),
            "detections rate [Hz]": _number(rates.rate("detections"), 1),
            "masks rate [Hz]": _number(rates.rate("masks"), 1),
            "published frames rate [Hz]": _number(seen.published_rate, 2),
            "captioned frames rate [Hz]": _number(rates.rate("frames_captioned"), 2),
            "latency p50 [s]": _number(quantile(latencies, 0.5), 3),
            "latency p95 [s]": _number(quantile(latencies, 0.95), 3),
            "pass p50 [s]": _number(quantile(passes, 0.5), 3),
            "pass p95 [s]": _number(quantile(passes, 0.95), 3),
            "draft p50 [s]": _number(quantile(self._status.draft_times(), 0.5), 3),
            "reused captions [%]": _number(reused, 1),
            "age of the last descriptions [s]": _number(seen.published_age, 1),
            "last stamp gap [s]": _number(counters.last_gap, 3),
            "memory of the process [MB]": _number(_resident_mb(), 0),
            "failures in a row": str(seen.failures),
            "last error": one_line(snapshot.last_error or counters.last_error),
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
    names = (
        *("images", "detections", "masks", "unmatched", "images_forgotten", "masks_missing"),
        *("images_of_low_bits", "frames_captioned", "frames_failed"),
        *("regions_captioned", "regions_reused", "regions_dropped"),
    )
    return {
        "matched": counters.matched_exact + counters.matched_nearest,
        "published": counters.frames_captioned + counters.frames_reused,
        **{name: getattr(counters, name) for name in names},
        **{_DROP + why: count for why, count in list(counters.drop_reasons.items())},
    }


def _resident_mb() -> float | None:
    """Main memory of this process; None where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _number(value: float | None, digits: int) -> str:
    """Empty where it is not known."""
    return "" if value is None else f"{value:.{digits}f}"
