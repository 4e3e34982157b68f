"""A matched frame, as the inputs hand it on."""

from __future__ import annotations

from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray


@dataclass(frozen=True)
class Frame:
    """An image and the detections that were matched to it, in this activation of the node.

    masks: instance-id image of the same size: value i + 1 is the mask of detection i.
    activation: number of the activation that it was taken in, as `Inputs.open` was given it.
    """

    image: Image | CompressedImage
    detections: Detection2DArray
    activation: int = 1
    masks: Image | None = None
