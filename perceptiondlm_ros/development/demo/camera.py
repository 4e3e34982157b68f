"""A camera with a detector, as a process of its own: images, calibration, detections at 10 Hz.

The detector is blind to everything but places: it calls each thing an "object" and leaves it to
the captioner to say what it is.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.development.demo.options import add_world, world_of
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.scene import Scene
from perceptiondlm_ros.ros.ending import run_node
from perceptiondlm_ros.ros.outputs.conversions import rgb_to_image

PERIOD_NS: Final = 100_000_000
FRAME_ID: Final = "camera_optical_frame"
LABEL: Final = "object"
_FOCAL: Final = 1.0  # in widths of the image: it sees 53 degrees


class Camera(Node):
    """Films the world. Frames that come too late for the rate are skipped, not queued."""

    def __init__(self, world: World) -> None:
        super().__init__("camera")
        self._world = world
        quality = QoSProfile(depth=5)  # reliable: best effort may lose images of this size
        self._images = self.create_publisher(Image, "image", quality)
        self._detections = self.create_publisher(Detection2DArray, "detections", quality)
        self._infos = self.create_publisher(CameraInfo, "camera_info", quality)
        self._last_tick = 0
        self._skipped = 0
        # Looks ten times a period for the next tick, so that stamps keep to the grid without drift.
        self._timer = self.create_timer(PERIOD_NS / 10e9, self._look)

    def _look(self) -> None:
        tick = (time.time_ns() - self._world.start_ns) // PERIOD_NS
        if tick <= self._last_tick:
            return
        self._skipped += tick - self._last_tick - 1 if self._last_tick else 0
        if tick // 100 > self._last_tick // 100 and self._skipped:
            self.get_logger().info(f"frames skipped so far, the machine is busy: {self._skipped}")
        self._last_tick = tick
        self._publish(self._world.start_ns + tick * PERIOD_NS)

    def _publish(self, stamp_ns: int) -> None:
        scene = self._world.at(stamp_ns)
        picture = render(scene, masks=False)
        stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        header = Header(stamp=stamp, frame_id=FRAME_ID)
        self._images.publish(rgb_to_image(picture.image, header))
        self._infos.publish(calibration(scene.width, scene.height, header))
        self._detections.publish(detections(scene, picture.boxes, header))


def calibration(width: int, height: int, header: Header) -> CameraInfo:
    """That of a camera without distortion: the scenes are flat, so any focal length is true."""
    focal, x, y = _FOCAL * width, (width - 1) / 2, (height - 1) / 2
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def detections(scene: Scene, boxes: NDArray[np.float32], header: Header) -> Detection2DArray:
    """What a good detector with a tracker finds: every object of which something is visible.

    boxes: float32 [N, 4] as (x0, y0, x1, y1) px around visible pixels, in the scene's order.
    """
    found = []
    for item, (x0, y0, x1, y1) in zip(scene.objects, boxes.tolist(), strict=True):
        if x0 >= x1 or y0 >= y1:
            continue
        detection = Detection2D(header=header, id=str(item.track_id))
        detection.bbox.center.position.x = (x0 + x1) / 2
        detection.bbox.center.position.y = (y0 + y1) / 2
        detection.bbox.size_x, detection.bbox.size_y = x1 - x0, y1 - y0
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = LABEL
        result.hypothesis.score = min(1.0, max(x1 - x0, y1 - y0) / item.diameter)
        detection.results = [result]
        found.append(detection)
    return Detection2DArray(header=header, detections=found)


def main(arguments: list[str] | None = None) -> int:
    """Publish until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_world(parser, start_required=True)
    given = sys.argv[1:] if arguments is None else arguments
    world = world_of(parser.parse_args(remove_ros_args(given)))
    return run_node(lambda: Camera(world), given)


if __name__ == "__main__":
    sys.exit(main())
