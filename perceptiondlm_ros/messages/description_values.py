"""What a RegionDescription says, as the values of its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption
    from perceptiondlm_ros.messages.region_selection import SelectedRegion

_FLOAT32_MAX = float(np.finfo(np.float32).max)  # a detector's score is a float64


def description_values(region: SelectedRegion, caption: Caption, stamp: Any) -> dict[str, Any]:
    """All fields but `source`.

    Args:
        stamp: a Time, of the image that the caption was made from.
    """
    return {
        "id": region.detection.id,
        "index": region.index,
        "bbox": region.bbox,
        "label": region.label,
        "score": min(max(region.score, -_FLOAT32_MAX), _FLOAT32_MAX),
        "caption": one_line(caption.text),
        "confidence": float(caption.confidence),
        "truncated": bool(caption.truncated),
        "caption_stamp": stamp,
    }
