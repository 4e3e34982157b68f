"""Every output of the node, in the order in which they are made of a result."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode

from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.annotated_image import AnnotatedImage
from perceptiondlm_ros.ros.outputs.image_annotations import ImageAnnotations, foxglove_messages
from perceptiondlm_ros.ros.outputs.markers import Markers
from perceptiondlm_ros.ros.outputs.message_outputs import (
    CaptionedDetections,
    Descriptions,
    JsonDescriptions,
)
from perceptiondlm_ros.ros.outputs.outputs import Output, Outputs
from perceptiondlm_ros.ros.settings import Settings


def make_outputs(
    node: LifecycleNode, settings: Callable[[], Settings], monitor: Monitor
) -> Outputs:
    """Those that the settings ask for, the quick ones first. settings: gives the present ones."""
    outputs: list[Output] = [Descriptions(node)]
    if settings().publish.detections:
        outputs.append(CaptionedDetections(node))
    if settings().publish.json:
        outputs.append(JsonDescriptions(node))
    outputs.append(Markers(node, monitor, lambda: settings().markers.always))
    if messages := foxglove_messages():
        outputs.append(ImageAnnotations(node, messages))
    outputs.append(AnnotatedImage(node))
    clock = node.get_clock()
    return Outputs(outputs, monitor, lambda: int(clock.now().nanoseconds), alive=node.context.ok)
