"""Pixels as messages. Logs nothing."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header


def rgb_to_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """An rgb8 message of uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    return Image(
        header=header, height=height, width=width, encoding="rgb8", step=3 * width, data=data
    )
