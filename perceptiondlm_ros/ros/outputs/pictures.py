"""`~/annotated_image`: the image with its captions, raw and as JPEG."""

from __future__ import annotations

import array
import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from perceptiondlm_ros.drawing.annotate import Annotation, annotate
from perceptiondlm_ros.drawing.layout import Memory
from perceptiondlm_ros.ros.outputs.conversions import rgb_to_image
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.regions import ShownRegion, shown_regions
from perceptiondlm_ros.ros.outputs.results import Result


class AnnotatedImage(Output):
    """Drawn once for both topics, only while somebody looks, and each encoded only if wanted."""

    def __init__(self, node: LifecycleNode) -> None:
        self._memory = Memory()
        self.raw = publisher(node, Image, "~/annotated_image", QoSProfile(depth=1))
        self.compressed = publisher(
            node, CompressedImage, "~/annotated_image/compressed", QoSProfile(depth=1)
        )

    def wanted(self) -> bool:
        return any(topic.get_subscription_count() for topic in (self.raw, self.compressed))

    def render(self, result: Result) -> Iterable[Outgoing]:
        if result.pixels is None:
            return
        drawn = annotated_pixels(result.pixels, result, self._memory)
        header = result.message.header
        if self.raw.get_subscription_count():
            yield self.raw, rgb_to_image(drawn, header)
        if self.compressed.get_subscription_count():
            quality = result.settings.annotated_image.jpeg_quality
            yield self.compressed, jpeg(drawn, header, quality)

    def clear(self) -> Iterable[Outgoing]:
        self._memory = Memory()
        return ()


def annotated_pixels(
    pixels: NDArray[np.uint8], result: Result, memory: Memory | None = None
) -> NDArray[np.uint8]:
    """The image, uint8 [H, W, 3] RGB, with the captions of `result` drawn on it."""
    height, width = pixels.shape[:2]
    annotations = [_annotation(item) for item in shown_regions(result, width, height)]
    return annotate(pixels, annotations, memory)


def jpeg(pixels: NDArray[np.uint8], header: Header, quality: int) -> CompressedImage:
    """A message as image_transport's plugin `compressed` makes it. pixels: uint8 [H, W, 3] RGB."""
    encoded = io.BytesIO()
    Picture.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    data = array.array("B", encoded.getvalue())
    # Its subscribers decode to bgr8, and convert that to what stands first.
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)


def _annotation(item: ShownRegion) -> Annotation:
    """Without a caption it gets no label, and is only outlined."""
    return Annotation(
        box=item.box,
        text=item.caption,
        id=item.id,
        label=item.label,
        confidence=item.confidence,
        track=item.track or item.id,
        index=item.index,
        age=item.age,
        draft=item.draft,
        mask=item.mask,
        labelled=item.captioned,
    )
