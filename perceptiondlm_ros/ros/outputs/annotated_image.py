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

from perceptiondlm_ros.drawing.annotate import annotate
from perceptiondlm_ros.drawing.layout import LastLayout
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.result import Result, annotations_of


class AnnotatedImage(Output):
    """Drawn once for both topics, only while somebody looks, and each encoded only if wanted."""

    drawn = True

    def __init__(self, node: LifecycleNode) -> None:
        self._last = LastLayout()
        topic, once = "~/annotated_image", QoSProfile(depth=1)
        self.raw = publisher(node, Image, topic, once)
        self.compressed = publisher(node, CompressedImage, f"{topic}/compressed", once)
        self.publishers = (self.raw, self.compressed)

    def render(self, result: Result) -> Iterable[Outgoing]:
        if result.pixels is None:
            return
        height, width = result.pixels.shape[:2]
        drawn = annotate(result.pixels, annotations_of(result, width, height), self._last)
        header = result.message.header
        if self.raw.get_subscription_count():
            yield self.raw, rgb_to_image(drawn, header)
        if self.compressed.get_subscription_count():
            quality = result.settings.annotated_image.jpeg_quality
            yield self.compressed, jpeg(drawn, header, quality)

    def clear(self) -> Iterable[Outgoing]:
        self._last = LastLayout()
        return ()


def rgb_to_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """An rgb8 message of uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )


def jpeg(pixels: NDArray[np.uint8], header: Header, quality: int) -> CompressedImage:
    """A message as image_transport's plugin `compressed` makes it. pixels: uint8 [H, W, 3] RGB."""
    encoded = io.BytesIO()
    Picture.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    data = array.array("B", encoded.getvalue())
    # Its subscribers decode to bgr8, and convert that to what stands first.
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=data)
