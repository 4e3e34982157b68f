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
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.ros.ending import run_node

WIDTH: Final = 1280
HEIGHT: Final = 720
RATE: Final = 30.0
_REGIONS: Final = 6
_SWING_S: Final = 5.0
_MARK: Final = 0x5CA1AB1E
_LINE = np.dtype([("mark", "<u4"), ("stamp", "<u8")])  # 12 bytes are four pixels


class Camera(Node):
    """Frames that come too late for the rate are skipped, not queued."""

    def __init__(self) -> None:
        super().__init__("camera")
        quality = QoSProfile(depth=5)  # reliable: best effort may lose images of this size
        self._images = self.create_publisher(Image, "image", quality)
        self._detections = self.create_publisher(Detection2DArray, "detections", quality)
        self._pixels = np.random.default_rng(0).integers(0, 255, HEIGHT * WIDTH * 3, np.uint8)
        self._due = time.monotonic()
        self._timer = self.create_timer(1 / RATE / 20, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = max(self._due + 1 / RATE, now)
        stamp_ns = time.time_ns()
        write_stamp(self._pixels, stamp_ns)
        data = array.array("B")
        data.frombytes(self._pixels.data)
        stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id="camera")
        self._images.publish(
            Image(
                header=header,
                height=HEIGHT,
                width=WIDTH,
                encoding="rgb8",
                step=3 * WIDTH,
                data=data,
            )
        )
        self._detections.publish(self._found(header))

    def _found(self, header: Header) -> Detection2DArray:
        """Objects side by side that swing up and down, each under the id of its track."""
        found = []
        for track in range(_REGIONS):
            phase = 2 * math.pi * (time.monotonic() / _SWING_S + track / _REGIONS)
            detection = Detection2D(header=header, id=str(track))
            detection.bbox.center.position.x = WIDTH * (track + 0.5) / _REGIONS
            detection.bbox.center.position.y = HEIGHT * (0.5 + 0.3 * math.sin(phase))
            detection.bbox.size_x, detection.bbox.size_y = 120.0, 90.0
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = "object", 0.9
            detection.results = [result]
            found.append(detection)
        return Detection2DArray(header=header, detections=found)


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
    return run_node(Camera)


if __name__ == "__main__":
    sys.exit(main())
