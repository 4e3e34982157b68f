"""What the node is doing, since when, and how it goes: written by the node, read by diagnostics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum

from perceptiondlm_ros.ros.health.faults import Failure

_TIMES_KEPT = 512


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
    model: its name, and the backend with its device and precision; empty where none is loaded.
    pass_since: start of the pass that runs; None where none runs.
    failures: transitions or passes that failed one after the other, up to now; 0 after one that
        went well.
    failure: the last of them, unreadable: the last image that could not be read; None where there
        was none yet.
    last_published: when descriptions were published last; None where never.
    latencies: the latest, from an image's stamp to its publication. pass_times: how long the latest
        passes took. draft_times: when drafts were there, from the start of their pass.
    """

    activity: Activity
    since: float
    detail: str = ""
    model: str = ""
    pass_since: float | None = None
    failures: int = 0
    failure: Failure | None = None
    unreadable: Failure | None = None
    last_published: float | None = None
    latencies: tuple[float, ...] = ()
    pass_times: tuple[float, ...] = ()
    draft_times: tuple[float, ...] = ()


class Status:
    """Holds the state; every method may be called from any thread and returns at once."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._state = Snapshot(Activity.UNCONFIGURED, now())

    def snapshot(self) -> Snapshot:
        return self._state

    def enter(self, activity: Activity, detail: str = "") -> None:
        """Begin an activity, which ends earlier failures; the same one only changes its detail."""
        with self._lock:
            if activity is not self._state.activity:
                self._set(activity=activity, since=self._now(), failures=0)
            self._set(detail=detail)

    def loaded(self, model: str) -> None:
        """A model is there, see `Snapshot.model`, or with an empty text there is none any more."""
        self._set(model=model)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around a pass of the model; an exception counts as a failure and goes on."""
        started = self._now()
        self._set(pass_since=started)
        try:
            yield
        except BaseException as error:
            self.failed(Failure.of(error))
            raise
        else:
            self._set(failures=0)
            self._add("pass_times", self._now() - started)
        finally:
            self._set(pass_since=None)

    def drafted(self) -> None:
        """The pass that runs has handed out drafts."""
        since = self._state.pass_since
        if since is not None:
            self._add("draft_times", self._now() - since)

    def failed(self, failure: Failure) -> None:
        """A transition or a pass failed."""
        with self._lock:
            self._set(failures=self._state.failures + 1, failure=failure, unreadable=None)

    def unreadable(self, failure: Failure) -> None:
        """An image could not be read."""
        self._set(unreadable=failure)

    def published(self, latency: float | None) -> None:
        """Descriptions went out; latency in seconds, None where the image had no stamp."""
        self._set(last_published=self._now())
        if latency is not None:
            self._add("latencies", latency)

    def _add(self, name: str, seconds: float) -> None:
        with self._lock:
            self._set(**{name: (*getattr(self._state, name), seconds)[-_TIMES_KEPT:]})

    def _set(self, **changes: object) -> None:
        with self._lock:
            self._state = replace(self._state, **changes)  # type: ignore[arg-type]
