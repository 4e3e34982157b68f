"""Everything that the node publishes, from its process to those who listen."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
from PIL import Image as Picture
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import detection, detections, header, image
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.msg import RegionDescriptionArray

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SCHEMA = Path(__file__).parents[2] / "config" / "descriptions.schema.json"
WIDTH, HEIGHT = 160, 120


def listen(robot: Robot, kind: type, topic: str, qos: Any = 10) -> list[Any]:
    heard: list[Any] = []
    robot.peer.create_subscription(kind, f"region_captioner/{topic}", heard.append, qos)
    return heard


def send(robot: Robot, nanoseconds: int) -> None:
    items = [detection(10, 10, 60, 60, "7", "cup"), detection(80, 20, 150, 110, "9", "bowl")]
    robot.images.publish(image(nanoseconds, width=WIDTH, height=HEIGHT))
    robot.found.publish(detections(nanoseconds, items))


def test_machines_that_come_late_get_the_last_result(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint, publish__json=True, publish__detections=True)
    robot.until_active()
    send(robot, SECOND)
    robot.until(lambda: any(m.regions for m in robot.received), "captions")
    described = listen(robot, RegionDescriptionArray, "descriptions", LATCHED)
    texts = listen(robot, String, "descriptions/json", LATCHED)
    found = listen(robot, Detection2DArray, "detections", LATCHED)
    robot.until(lambda: bool(described and texts and found), "the last result on every topic")
    captions = [region.caption for region in described[-1].regions]
    assert len(captions) == 2
    value = json.loads(texts[-1].data)
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(value)
    assert [region["caption"] for region in value["regions"]] == captions
    classes = [item.results[0].hypothesis.class_id for item in found[-1].detections]
    assert classes == captions
    assert found[-1].header == header(SECOND)


def test_people_see_pictures_and_markers(robot: Robot, tiny_checkpoint: Path) -> None:
    node = robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    infos = robot.peer.create_publisher(CameraInfo, "camera_info", 10)
    assert robot.peer.count_subscribers("/image") == 1
    assert robot.peer.count_subscribers("/camera_info") == 0, "nobody looks yet"
    pictures = listen(robot, Image, "annotated_image")
    packed = listen(robot, CompressedImage, "annotated_image/compressed")
    heard = listen(robot, MarkerArray, "markers")
    info = CameraInfo(width=WIDTH, height=HEIGHT, k=[150.0, 0, 80, 0, 150, 60, 0, 0, 1])
    stamps = iter(range(SECOND, 10_000 * SECOND, SECOND // 2))

    def again() -> None:
        infos.publish(info)
        send(robot, next(stamps))

    robot.until(
        lambda: bool(pictures and packed and any(array.markers for array in heard)),
        "pictures and markers",
        again=again,
    )
    assert (pictures[-1].width, pictures[-1].height) == (WIDTH, HEIGHT)
    assert np.asarray(Picture.open(io.BytesIO(bytes(packed[-1].data)))).shape == (HEIGHT, WIDTH, 3)
    markers = next(array.markers for array in heard if array.markers)
    assert {marker.header.frame_id for marker in markers} == {"camera"}
    assert all(marker.action == Marker.ADD for marker in markers)
    assert sum("7 - cup" in marker.text for marker in markers) == 1
    assert node.end() == 0
    assert not node.said("failed"), "also at its end, when nothing can be published any more"
