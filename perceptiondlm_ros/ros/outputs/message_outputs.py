"""Outputs for machines: latched messages, published whoever listens."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.result import Result

_LATCHED: Final = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A late joiner gets the last message at once. Subscribers that are volatile get it as ever."""

VERSION: Final = 1
"""Of the schema: counted up when a program that reads it would have to change."""

_SOURCES: Final = {
    RegionDescription.FRESH: "fresh",
    RegionDescription.REUSED: "reused",
    RegionDescription.DRAFT: "draft",
}


class Descriptions(Output):
    """`~/descriptions`: what everything else is made from."""

    TOPIC: ClassVar = "~/descriptions"
    KIND: ClassVar[type] = RegionDescriptionArray

    def __init__(self, node: LifecycleNode) -> None:
        self.publisher = publisher(node, self.KIND, self.TOPIC, _LATCHED)

    def render(self, result: Result) -> Iterable[Outgoing]:
        yield self.publisher, self.message(result.message)

    def message(self, descriptions: RegionDescriptionArray) -> Any:
        """What is published of the descriptions."""
        return descriptions


class CaptionedDetections(Descriptions):
    """`~/detections`: captions for what already understands vision_msgs. Opt-in."""

    TOPIC = "~/detections"
    KIND = Detection2DArray

    def message(self, descriptions: RegionDescriptionArray) -> Detection2DArray:
        return captioned_detections(descriptions)


class JsonDescriptions(Descriptions):
    """`~/descriptions/json`: descriptions for programs that know no ROS types. Opt-in."""

    TOPIC = "~/descriptions/json"
    KIND = String

    def message(self, descriptions: RegionDescriptionArray) -> String:
        return String(data=to_json(descriptions))


def captioned_detections(message: RegionDescriptionArray) -> Detection2DArray:
    """The captioned detections as they came, with the caption as class and its confidence."""
    return Detection2DArray(
        header=message.header,
        detections=[_detection(region, message) for region in message.regions],
    )


def _detection(region: RegionDescription, message: RegionDescriptionArray) -> Detection2D:
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = region.caption
    hypothesis.hypothesis.score = float(region.confidence)
    return Detection2D(header=message.header, results=[hypothesis], bbox=region.bbox, id=region.id)


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
