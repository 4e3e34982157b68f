"""A camera of 1280x720 at 30 Hz with a detector, as a process of its own.

Each image carries its stamp in its first pixels too, so that whoever is given only pixels can tell
how old they are.
"""

from __future__ import annotations

import argparse
import array
import math
import sys
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.demo_camera import PacedCamera, detection, header_at
from perceptiondlm_ros.ros.ending import run_node

WIDTH: Final = 1280
HEIGHT: Final = 720
RATE: Final = 30.0
_REGIONS: Final = 6
_SWING_S: Final = 5.0
_MARK: Final = 0x5CA1AB1E
_LINE = np.dtype([("mark", "<u4"), ("stamp", "<u8")])  # 12 bytes are four pixels


class LoadCamera(PacedCamera):
    """Films noise, in which objects side by side swing up and down."""

    def __init__(self) -> None:
        super().__init__(round(1e9 / RATE), time.time_ns())
        self._pixels = np.random.default_rng(0).integers(0, 255, HEIGHT * WIDTH * 3, np.uint8)

    def publish_frame(self, stamp_ns: int) -> None:
        """Publish an image and its detections, with the time of now."""
        stamp_ns = time.time_ns()
        header = header_at(stamp_ns)
        write_stamp(self._pixels, stamp_ns)
        image = Image(header=header, height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        image.data = array.array("B", self._pixels.tobytes())
        self.images.publish(image)
        found = []
        for track in range(_REGIONS):
            phase = 2 * math.pi * (time.monotonic() / _SWING_S + track / _REGIONS)
            centre = WIDTH * (track + 0.5) / _REGIONS, HEIGHT * (0.5 + 0.3 * math.sin(phase))
            found.append(detection(header, track, (*centre, 120.0, 90.0), 0.9))
        self.detections.publish(Detection2DArray(header=header, detections=found))


def write_stamp(pixels: NDArray[np.uint8], stamp_ns: int) -> None:
    """Into the first pixels of a contiguous image of three bytes a pixel."""
    line = np.array([(_MARK, stamp_ns)], _LINE)
    pixels.reshape(-1)[: _LINE.itemsize] = line.view(np.uint8)


def stamp_in(image: NDArray[np.uint8]) -> int:
    """The stamp in ns that was written into an image; 0 where none was."""
    start = np.ascontiguousarray(image[0, : _LINE.itemsize // 3]).reshape(-1)
    (line,) = start.view(_LINE)
    return int(line["stamp"]) if line["mark"] == _MARK else 0


def main(arguments: list[str] | None = None) -> int:
    """Publish until told to end."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    return run_node(LoadCamera)


if __name__ == "__main__":
    sys.exit(main())
