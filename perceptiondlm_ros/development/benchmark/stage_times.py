"""Times the stages of a pass from outside: the model and the denoising loop know nothing of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.runtime.backend import Backend, CacheMode, DenoisingState, Session

Wait = Callable[[], None]
"""Returns when the device has done all that was launched."""

STAGES = ("preprocessing", "vision", "prefill", "step", "total")


class StageTimes:
    """Times of one call of `describe`, summed over its batches of groups of regions.

    Attributes:
        later_steps: steps after the first.
        positions: length of the sequence.
        groups: groups of regions.
    """

    def __init__(self) -> None:
        self.later_steps = 0
        self.positions = 0
        self.groups = 0
        self._seconds: dict[str, float] = defaultdict(float)
        self._since = time.perf_counter()

    def end(self, stage: str) -> None:
        """Count the time since the last stage ended, or since the call, for this one."""
        now = time.perf_counter()
        self._seconds[stage] += now - self._since
        self._since = now

    def milliseconds(self) -> dict[str, float]:
        """Time of each stage: `step` is one step, the first one excluded, and 0 if there is no
        other; what is missing from the total is decoding.
        """
        seconds = {stage: self._seconds[stage] for stage in STAGES}
        seconds["step"] = seconds["step"] / self.later_steps if self.later_steps else 0.0
        seconds["total"] = sum(self._seconds.values())
        return {stage: 1e3 * seconds[stage] for stage in STAGES}


class TimedBackend:
    """A backend that notes when its stages end; see `runtime.backend.Backend`.

    It waits for the device only after the encoding, after the first step and at the end, so later
    steps run as they do without it.

    Attributes:
        times: of the call that is running; put new ones here before each.
    """

    def __init__(self, backend: Backend, wait: Wait) -> None:
        self.config, self.description = backend.config, backend.description
        self.buckets = backend.buckets
        self.times = StageTimes()
        self._backend, self._wait = backend, wait

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> TimedSession:
        """Encode the inputs."""
        self.times.end("preprocessing")
        session = self._backend.start(inputs, cache, steps, threshold)
        self._wait()
        self.times.end("vision")
        self.times.positions = inputs.layout.length
        self.times.groups += len(inputs.regions)
        return TimedSession(session, self.times, self._wait)

    def close(self) -> None:
        """Free the backend."""
        self._backend.close()


class TimedSession:
    """See `TimedBackend` and `runtime.backend.Session`."""

    def __init__(self, session: Session, times: StageTimes, wait: Wait) -> None:
        self.steps, self.look_every = session.steps, session.look_every
        self._session, self._times, self._wait = session, times, wait
        self._first = True

    def step(self) -> None:
        """Take a denoising step."""
        self._session.step()
        if self._first:
            self._wait()
            self._times.end("prefill")
            self._first = False
        else:
            self._times.later_steps += 1

    def state(self) -> DenoisingState:
        """Wait for the steps so far."""
        state = self._session.state()
        self._times.end("step")
        return state
