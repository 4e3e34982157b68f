"""Every output of the node, in the order in which they are made of a result."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode

from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.descriptions import Descriptions
from perceptiondlm_ros.ros.outputs.detections import CaptionedDetections
from perceptiondlm_ros.ros.outputs.image_annotations import ImageAnnotations, foxglove_messages
from perceptiondlm_ros.ros.outputs.json_text import JsonDescriptions
from perceptiondlm_ros.ros.outputs.markers import Markers
from perceptiondlm_ros.ros.outputs.outputs import Output, Outputs
from perceptiondlm_ros.ros.outputs.pictures import AnnotatedImage
from perceptiondlm_ros.ros.settings import PublishSettings, Settings


def make_outputs(
    node: LifecycleNode, settings: Callable[[], Settings], monitor: Monitor
) -> Outputs:
    """All outputs that the settings ask for. settings: gives the present ones."""

    def now_ns() -> int:
        return int(node.get_clock().now().nanoseconds)

    prompt = _prompt_outputs(node, settings().publish)
    drawn = _drawn_outputs(node, monitor, lambda: settings().markers.always)
    return Outputs(prompt, drawn, monitor, now_ns, alive=node.context.ok)


def _prompt_outputs(node: LifecycleNode, publish: PublishSettings) -> list[Output]:
    """For machines: made at once with the captions, each in well under a millisecond a region."""
    outputs: list[Output] = [Descriptions(node)]
    if publish.detections:
        outputs.append(CaptionedDetections(node))
    if publish.json:
        outputs.append(JsonDescriptions(node))
    return outputs


def _drawn_outputs(
    node: LifecycleNode, monitor: Monitor, markers_always: Callable[[], bool]
) -> list[Output]:
    """For people: made in a thread of their own, the quick ones first.

    markers_always: whether what markers need is taken also while nobody subscribes to them.
    """
    outputs: list[Output] = [Markers(node, monitor, markers_always)]
    messages = foxglove_messages()
    if messages:
        outputs.append(ImageAnnotations(node, messages))
    outputs.append(AnnotatedImage(node))
    return outputs
