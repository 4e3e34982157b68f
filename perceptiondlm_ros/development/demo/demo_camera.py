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

from perceptiondlm_ros.development.demo.world import World, add_world, world_of
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.scene import Scene
from perceptiondlm_ros.ros.ending import run_node
from perceptiondlm_ros.ros.outputs.annotated_image import rgb_to_image

PERIOD_NS: Final = 100_000_000
FRAME_ID: Final = "camera_optical_frame"
_FOCAL: Final = 1.0  # in widths of the image: it sees 53 degrees


class PacedCamera(Node):
    """A camera that publishes at a rate; what comes too late is skipped, not queued."""

    def __init__(self, period_ns: int, start_ns: int) -> None:
        super().__init__("camera")
        self.quality = QoSProfile(depth=5)  # reliable: best effort may lose images of this size
        self.images = self.create_publisher(Image, "image", self.quality)
        self.detections = self.create_publisher(Detection2DArray, "detections", self.quality)
        self._period_ns, self._start_ns = period_ns, start_ns
        self._last_tick = 0
        self._skipped = 0
        # Looks twenty times a period for the next tick, so that stamps keep to the grid.
        self._timer = self.create_timer(period_ns / 20e9, self._look)

    def publish_frame(self, stamp_ns: int) -> None:
        """Publish what there is to see at a tick."""
        raise NotImplementedError

    def _look(self) -> None:
        tick = (time.time_ns() - self._start_ns) // self._period_ns
        if tick <= self._last_tick:
            return
        self._skipped += tick - self._last_tick - 1 if self._last_tick else 0
        if tick // 100 > self._last_tick // 100 and self._skipped:
            self.get_logger().info(f"frames skipped so far, the machine is busy: {self._skipped}")
        self._last_tick = tick
        self.publish_frame(self._start_ns + tick * self._period_ns)


class DemoCamera(PacedCamera):
    """Films the world."""

    def __init__(self, world: World) -> None:
        super().__init__(PERIOD_NS, world.start_ns)
        self._world = world
        self._infos = self.create_publisher(CameraInfo, "camera_info", self.quality)

    def publish_frame(self, stamp_ns: int) -> None:
        """Publish an image of the world with its calibration and detections."""
        scene = self._world.at(stamp_ns)
        picture = render(scene, masks=False)
        header = header_at(stamp_ns)
        self.images.publish(rgb_to_image(picture.image, header))
        self._infos.publish(calibration(scene.width, scene.height, header))
        self.detections.publish(detections(scene, picture.boxes, header))


def header_at(stamp_ns: int) -> Header:
    """The header of what was seen at a stamp."""
    stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return Header(stamp=stamp, frame_id=FRAME_ID)


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
        if x0 < x1 and y0 < y1:
            score = min(1.0, max(x1 - x0, y1 - y0) / item.diameter)
            box = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
            found.append(detection(header, item.track_id, box, score))
    return Detection2DArray(header=header, detections=found)


def detection(
    header: Header, track: int, box: tuple[float, float, float, float], score: float
) -> Detection2D:
    """An object of which nothing else is known. box: its centre, width and height, in px."""
    message = Detection2D(header=header, id=str(track))
    message.bbox.center.position.x, message.bbox.center.position.y = box[:2]
    message.bbox.size_x, message.bbox.size_y = box[2:]
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = "object", score
    message.results = [result]
    return message


def main(arguments: list[str] | None = None) -> int:
    """Publish until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_world(parser, start_required=True)
    given = sys.argv[1:] if arguments is None else arguments
    world = world_of(parser.parse_args(remove_ros_args(given)))
    return run_node(lambda: DemoCamera(world), given)


if __name__ == "__main__":
    sys.exit(main())
