"""Instance-id images: 0 is background, value i + 1 the mask of detection i."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.boxes import Fit
from perceptiondlm_ros.messages.images import image_numbers

_KINDS: dict[str, type[np.generic]] = {
    "mono8": np.uint8,
    "8UC1": np.uint8,
    "mono16": np.uint16,
    "16UC1": np.uint16,
    "32SC1": np.int32,
}


def instance_ids(message: Any, width: int, height: int, fit: Fit) -> NDArray[Any]:
    """The ids of the pixels of a width x height image, integers [H, W], to be read only.

    Args:
        message: an Image of that size, or of the size that the detector sees.
        fit: how the image was fitted into what the detector sees.

    Raises:
        InputError: another encoding or size, or data that don't fit it.
    """
    if message.encoding not in _KINDS:
        raise InputError(
            f"masks: got encoding {message.encoding!r}, expected one of {', '.join(_KINDS)}; "
            "publish instance ids, not colours"
        )
    seen = (round(fit.size[0]), round(fit.size[1]))
    size = (message.width, message.height)
    if size not in ((width, height), seen):
        raise InputError(
            f"masks: got {size[0]}x{size[1]} pixels, expected the image's {width}x{height}"
            + (f" or the detector's {seen[0]}x{seen[1]}" if seen != (width, height) else "")
            + "; publish them at that size"
        )
    ids = image_numbers(message, _KINDS[message.encoding])
    if size == (width, height):
        return ids
    columns, rows = (
        np.clip((np.arange(n) + 0.5) * fit.scale[i] + fit.offset[i], 0, size[i] - 1).astype(int)
        for i, n in enumerate((width, height))
    )
    seen_ids: NDArray[Any] = ids[rows[:, None], columns]
    return seen_ids
