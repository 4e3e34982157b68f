"""`~/detections`: captions for what already understands vision_msgs. Opt-in."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.lifecycle import LifecycleNode
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.outputs import LATCHED, Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.results import Result


class CaptionedDetections(Output):
    """Publishes whoever listens: a late joiner gets the last ones."""

    def __init__(self, node: LifecycleNode) -> None:
        self.publisher = publisher(node, Detection2DArray, "~/detections", LATCHED)

    def render(self, result: Result) -> Iterable[Outgoing]:
        yield self.publisher, captioned_detections(result.message)


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
