"""`~/descriptions/json`: descriptions for programs that know no ROS types. Opt-in.

The schema is config/descriptions.schema.json.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from builtin_interfaces.msg import Time

from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray

VERSION: Final = 1
"""Of the schema: counted up when a program that reads it would have to change."""

_SOURCES: Final = {
    RegionDescription.FRESH: "fresh",
    RegionDescription.REUSED: "reused",
    RegionDescription.DRAFT: "draft",
}


def to_json(message: RegionDescriptionArray) -> str:
    """The message as JSON on one line; numbers that JSON has no word for are null."""
    latency = message.latency.sec + message.latency.nanosec / 1e9
    value = {
        "version": VERSION,
        "stamp": _stamp(message.header.stamp),
        "frame_id": message.header.frame_id,
        "model": message.model,
        "latency": round(latency, 6),
        "dropped": message.dropped,
        "regions": [_region(region, message.header.stamp) for region in message.regions],
    }
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _region(region: RegionDescription, stamp: Time) -> dict[str, Any]:
    box = region.bbox
    age = (nanoseconds(stamp) - nanoseconds(region.caption_stamp)) / 1e9
    return {
        "id": region.id,
        "index": region.index,
        "label": region.label,
        "score": _number(region.score),
        "caption": region.caption,
        "confidence": _number(region.confidence),
        "truncated": region.truncated,
        "source": _SOURCES[region.source],
        "caption_stamp": _stamp(region.caption_stamp),
        "age": round(age, 9),
        "box": {
            "x": _number(box.center.position.x),
            "y": _number(box.center.position.y),
            "width": _number(box.size_x),
            "height": _number(box.size_y),
            "theta": _number(box.center.theta),
        },
    }


def _stamp(stamp: Time) -> dict[str, int]:
    return {"sec": stamp.sec, "nanosec": stamp.nanosec}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
