"""From settings to a captioner that is ready for its first frame."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.ros.health.status import Activity, Status
from perceptiondlm_ros.ros.settings import Settings

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Captioner


def load_captioner(settings: Settings) -> Captioner:
    """Load a Captioner; imported only here, so that a missing package is a failed `configure`."""
    try:
        from perceptiondlm_ros.captioner import Captioner
    except ImportError as error:
        raise BackendError(
            f"{error} in {sys.executable}, which runs this node; install it there"
        ) from error
    return Captioner.load(
        settings.checkpoint or None,
        backend=settings.backend,
        device=settings.device,
        steps=settings.steps or None,
        caption_tokens=settings.caption_tokens or None,
        cache=settings.cache,
    )


def load_and_warm_up(
    load: Callable[[Settings], Captioner], settings: Settings, status: Status
) -> Captioner:
    """A captioner whose first pass is behind it, with its allocations and choices of kernels."""
    status.enter(Activity.LOADING, settings.checkpoint or "the packaged checkpoint")
    captioner = load(settings)
    status.enter(Activity.WARMING_UP, captioner.name)
    try:
        grey = np.full((480, 640, 3), 127, np.uint8)
        captioner.describe(grey, [(160.0, 120.0, 480.0, 360.0)], settings.prompt or None)
    except BaseException:
        captioner.close()
        raise
    return captioner
