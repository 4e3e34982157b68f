"""The denoising loop: from all masks to captions in a fixed number of steps.

Every step predicts all caption positions at once, keeps what it is sure of, and masks the rest
again (see `model.denoiser`). The tokens of all regions of a group share one budget, and a token
that was set earlier can be masked again. How many are masked is known before the first step, so
the loop only launches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perceptiondlm_ros.runtime.backend import DenoisingState, Session

Watcher = Callable[[DenoisingState], None]


def tokens_to_mask(positions: int, step: int, steps: int) -> int:
    """How many of a group's caption positions are masked again after a step, counted from 0.

    The published linear schedule: int(positions * (S - 1 - s) / S), the fraction rounded first.
    """
    return int(positions * ((steps - 1 - step) / steps))


def denoise(session: Session, watchers: Mapping[int, Watcher] | None = None) -> DenoisingState:
    """Run all steps and return the last state.

    Args:
        watchers: called with the state after that many steps, each of which waits for the device.
    """
    for number in range(1, session.steps + 1):
        session.step()
        if watchers and number in watchers:
            watchers[number](session.state())
    return session.state()
