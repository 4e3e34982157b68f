"""Times the stages of a pass from outside: the model and the denoising loop know nothing of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.runtime.backend import Backend, CacheMode, DenoisingState, Session

Wait = Callable[[], None]
"""Returns when the device has done all that was launched."""

STAGES = ("preprocessing", "vision", "prefill", "step", "total")


@dataclass
class Laps:
    """Moments [s] of one call of `describe`, one entry a batch of groups.

    Attributes:
        called: when `describe` was called.
        returned: when it returned.
        started: when the backend was given its inputs.
        seen: when the image and the regions were encoded.
        prefilled: when the first denoising step was done.
        denoised: when the last step was done and its result here.
        later_steps: steps after the first.
        positions: length of the sequence.
        groups: groups of regions.
    """

    called: float = 0.0
    returned: float = 0.0
    started: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    prefilled: list[float] = field(default_factory=list)
    denoised: list[float] = field(default_factory=list)
    later_steps: int = 0
    positions: int = 0
    groups: int = 0

    def milliseconds(self) -> dict[str, float]:
        """Time of each stage: `step` is one step, the first one excluded, and 0 if there is no
        other; what is missing from the total is decoding.
        """
        later = sum(self.denoised) - sum(self.prefilled)
        begun = [self.called, *self.denoised[:-1]]
        seconds = {
            "preprocessing": sum(self.started) - sum(begun),
            "vision": sum(self.seen) - sum(self.started),
            "prefill": sum(self.prefilled) - sum(self.seen),
            "step": later / self.later_steps if self.later_steps else 0.0,
            "total": self.returned - self.called,
        }
        return {stage: 1e3 * seconds[stage] for stage in STAGES}


class TimedBackend:
    """A backend that notes when its stages begin and end; see `runtime.backend.Backend`.

    It waits for the device only after the encoding, after the first step and at the end, so later
    steps run as they do without it.

    Attributes:
        laps: of the call that is running; put a new one here before each.
    """

    def __init__(self, backend: Backend, wait: Wait) -> None:
        self.config, self.description = backend.config, backend.description
        self.buckets = backend.buckets
        self.laps = Laps()
        self._backend, self._wait = backend, wait

    def start(self, inputs: ModelInputs, cache: CacheMode, steps: int) -> TimedSession:
        self.laps.started.append(time.perf_counter())
        session = self._backend.start(inputs, cache, steps)
        self._wait()
        self.laps.seen.append(time.perf_counter())
        self.laps.positions = inputs.layout.length
        self.laps.groups += len(inputs.regions)
        return TimedSession(session, self.laps, self._wait)

    def close(self) -> None:
        self._backend.close()


class TimedSession:
    """See `TimedBackend` and `runtime.backend.Session`."""

    def __init__(self, session: Session, laps: Laps, wait: Wait) -> None:
        self.steps = session.steps
        self._session, self._laps, self._wait = session, laps, wait
        self._done = 0

    def step(self) -> None:
        self._session.step()
        self._done += 1
        if self._done == 1:
            self._wait()
            self._laps.prefilled.append(time.perf_counter())

    def state(self) -> DenoisingState:
        state = self._session.state()
        self._laps.denoised.append(time.perf_counter())
        self._laps.later_steps += self._done - 1
        return state
