"""Pixels and captions as messages. Logs nothing."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from perceptiondlm_ros.messages.descriptions import description_values
from perceptiondlm_ros.messages.regions import Region
from perceptiondlm_ros.msg import RegionDescription

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption


def rgb_to_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """An rgb8 message of uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )


def description(region: Region, caption: Caption, header: Header) -> RegionDescription:
    """The message for a region captioned on the image with this header."""
    values = description_values(region, caption, header.stamp)
    return RegionDescription(source=RegionDescription.FRESH, **values)
