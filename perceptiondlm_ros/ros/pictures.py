"""The output for people: `~/annotated_image`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from perceptiondlm_ros.drawing.annotate import Annotation, annotate
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.conversions import box_in_image, rgb_to_image
from perceptiondlm_ros.ros.frames import Result
from perceptiondlm_ros.ros.outputs import Outgoing, Output, publisher


class AnnotatedImage(Output):
    """The image with its captions, drawn only while somebody looks."""

    def __init__(self, node: LifecycleNode) -> None:
        self.publisher = publisher(node, Image, "~/annotated_image", QoSProfile(depth=1))

    def wanted(self) -> bool:
        return bool(self.publisher.get_subscription_count())

    def render(self, result: Result) -> Iterable[Outgoing]:
        if result.pixels is not None:
            yield self.publisher, annotated_image(result.pixels, result.message)


def annotated_image(pixels: NDArray[np.uint8], message: RegionDescriptionArray) -> Image:
    """The image with the captions drawn on it, under the same header."""
    height, width = pixels.shape[:2]
    annotations = [
        Annotation(
            box_in_image(region.bbox, width, height),
            region.caption,
            region.id,
            region.label,
            region.confidence,
        )
        for region in message.regions
    ]
    return rgb_to_image(annotate(pixels, annotations), message.header)
