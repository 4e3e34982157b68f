"""The denoising loop: from all masks to captions.

Every step predicts all caption positions at once, keeps what it is sure of, and masks the rest
again (see `model.denoiser`). Under the published schedule the tokens of all regions of a group
share one budget, and a token that was set earlier can be masked again. How many are masked is known
before the first step, so the loop only launches. Under a threshold a token that was set stays, and
the loop looks now and then whether anything is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perceptiondlm_ros.runtime.backend import DenoisingState, Session

Watcher = Callable[[DenoisingState], None]

STEPS_BETWEEN_LOOKS = 2
"""On a GPU. To look, it must be waited for: it idles from the end of a step until the next launch,
for some ten microseconds where a step is a CUDA graph, for all the launching of a step where not.
Not to look costs a whole step wherever the captions are whole: one at most with 2, half a one on
average, and every other launch is hidden. With 4 these are 3 and 1.5, half of what a pass takes."""


def tokens_to_mask(positions: int, step: int, steps: int) -> int:
    """How many of a group's caption positions are masked again after a step, counted from 0.

    The published linear schedule: int(positions * (S - 1 - s) / S), the fraction rounded first.
    """
    return int(positions * ((steps - 1 - step) / steps))


def denoise(session: Session, watchers: Mapping[int, Watcher] | None = None) -> DenoisingState:
    """Run steps until nothing is masked, as many as the session has at most; return the last state.

    Args:
        watchers: called with the state after that many steps, each of which waits for the device.
    """
    for number in range(1, session.steps + 1):
        session.step()
        watcher = watchers.get(number) if watchers else None
        if watcher or (session.look_every and number % session.look_every == 0):
            state = session.state()
            if watcher:
                watcher(state)
            if not state.masked.any():
                return state
    return session.state()


def look_every(threshold: float, device: str) -> int:
    """See `backend.Session`.

    Args:
        threshold: as `contract.DENOISER` has it, above 1 for the schedule alone.
        device: `cpu`, which has done a step when it returns, or `cuda`.
    """
    if threshold > 1:
        return 0
    return 1 if device == "cpu" else STEPS_BETWEEN_LOOKS
