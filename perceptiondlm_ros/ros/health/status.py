"""What the node is doing, since when, and how it goes: written by the node, read by diagnostics."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

_LATENCIES_KEPT = 512


class Activity(Enum):
    """What the node as a whole does; what it waits for is told by the counters."""

    UNCONFIGURED = "unconfigured"
    LOADING = "loading the checkpoint"
    BUILDING = "building the engine"
    WARMING_UP = "warming up"
    INACTIVE = "inactive"
    STREAMING = "active"
    DISABLED = "active, streaming disabled"
    FINALIZED = "finalized"


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment. Times are of `time.monotonic`, in seconds.

    since: start of the activity. detail: more about it, such as the model's name or a percentage.
    pass_since: start of the pass that runs; None where none runs.
    failures: passes that failed one after the other, up to now; 0 after one that went well.
    last_error: of the last failure, of a transition or a pass; empty where there was none yet.
    last_published: when descriptions were published last; None where never.
    """

    activity: Activity
    since: float
    detail: str = ""
    pass_since: float | None = None
    failures: int = 0
    last_error: str = ""
    last_published: float | None = None


class Status:
    """Holds the state; every method may be called from any thread and returns at once."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._snapshot = Snapshot(Activity.UNCONFIGURED, now())
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._pass_times: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._draft_times: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def latencies(self) -> list[float]:
        """The latest latencies in seconds, from an image's stamp to its publication."""
        with self._lock:
            return list(self._latencies)

    def pass_times(self) -> list[float]:
        """How long the latest passes took, in seconds."""
        with self._lock:
            return list(self._pass_times)

    def draft_times(self) -> list[float]:
        """When drafts were there, in seconds from the start of their pass."""
        with self._lock:
            return list(self._draft_times)

    def drafted(self) -> None:
        """The pass that runs has handed out drafts."""
        with self._lock:
            if self._snapshot.pass_since is not None:
                self._draft_times.append(self._now() - self._snapshot.pass_since)

    def enter(self, activity: Activity, detail: str = "") -> None:
        """Begin an activity, which ends earlier failures; the same one only changes its detail."""
        with self._lock:
            self._snapshot = replace(self._snapshot, detail=detail)
            if activity is not self._snapshot.activity:
                self._snapshot = replace(
                    self._snapshot, activity=activity, since=self._now(), failures=0
                )

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around a pass of the model; an exception counts as a failure and goes on."""
        started = self._now()
        with self._lock:
            self._snapshot = replace(self._snapshot, pass_since=started)
        try:
            yield
        except BaseException as error:
            self.failed(f"{type(error).__name__}: {error}")
            raise
        else:
            with self._lock:
                self._pass_times.append(self._now() - started)
                self._snapshot = replace(self._snapshot, failures=0)
        finally:
            with self._lock:
                self._snapshot = replace(self._snapshot, pass_since=None)

    def failed(self, error: str) -> None:
        """Count a failure."""
        with self._lock:
            failures = self._snapshot.failures + 1
            self._snapshot = replace(self._snapshot, failures=failures, last_error=error)

    def published(self, latency: float | None) -> None:
        """Descriptions went out; latency in seconds, None where the image had no stamp."""
        with self._lock:
            self._snapshot = replace(self._snapshot, last_published=self._now())
            if latency is not None:
                self._latencies.append(latency)
