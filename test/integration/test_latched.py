"""What was sent once, before its listener was there: to the node, and from it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import detection, detections, header, image
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import MarkerArray

from perceptiondlm_ros.msg import RegionDescriptionArray

if TYPE_CHECKING:
    from conftest import Robot

SCHEMA = Path(__file__).parents[2] / "config" / "descriptions.schema.json"
SECOND = 1_000_000_000
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WIDTH, HEIGHT = 160, 120
BOX = (20, 20, 60, 60)


def info(focal: float) -> CameraInfo:
    matrix = [focal, 0, 79.5, 0, focal, 59.5, 0, 0, 1]
    return CameraInfo(header=header(SECOND), width=WIDTH, height=HEIGHT, k=matrix)


def lefts(heard: list[MarkerArray]) -> list[float]:
    """Of each outline, how far left it begins."""
    return [m.points[0].x for array in heard for m in array.markers if m.points]


def test_a_camera_info_that_was_sent_once_places_markers(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    static = robot.peer.create_publisher(CameraInfo, "camera_info", LATCHED)
    static.publish(info(150))
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    heard: list[MarkerArray] = []
    robot.peer.create_subscription(MarkerArray, "region_captioner/markers", heard.append, 10)
    stamps = count(2 * SECOND, SECOND // 2)

    def frame() -> None:
        stamp = next(stamps)
        robot.images.publish(image(stamp, width=WIDTH, height=HEIGHT))
        robot.found.publish(detections(stamp, [detection(*BOX, "7", "cup")]))

    left = -2 * 60 / 150
    robot.until(lambda: bool(lefts(heard)), "markers", again=frame)
    assert abs(lefts(heard)[0] - left) < 1e-6
    robot.peer.destroy_publisher(static)
    robot.peer.create_publisher(CameraInfo, "camera_info", LATCHED).publish(info(75))
    robot.until(
        lambda: abs(lefts(heard)[-1] - 2 * left) < 1e-6,
        "markers by what the restarted publisher latched",
        again=frame,
    )


def test_a_durability_that_there_is_not_ends_the_process_with_a_sentence(robot: Robot) -> None:
    name = "qos_overrides./camera_info.subscription.durability"
    process = robot.start(**{name: "latched"})
    robot.until(lambda: not process.alive, "its end")
    assert process.end() == 1
    (line,) = process.said("can't start")
    assert f"parameter {name}: is 'latched', expected one of auto" in line
    assert not process.said("Traceback")


def listen(robot: Robot, kind: type, topic: str) -> list[Any]:
    heard: list[Any] = []
    robot.peer.create_subscription(kind, f"region_captioner/{topic}", heard.append, LATCHED)
    return heard


def test_machines_that_come_late_get_the_last_result(robot: Robot, tiny_checkpoint: Path) -> None:
    robot.start(checkpoint=tiny_checkpoint, publish__json=True, publish__detections=True)
    robot.until_active()
    items = [detection(*BOX, "7", "cup"), detection(80, 20, 150, 110, "9", "bowl")]
    robot.images.publish(image(SECOND, width=WIDTH, height=HEIGHT))
    robot.found.publish(detections(SECOND, items))
    robot.until(lambda: any(m.regions for m in robot.received), "captions")
    described = listen(robot, RegionDescriptionArray, "descriptions")
    texts = listen(robot, String, "descriptions/json")
    found = listen(robot, Detection2DArray, "detections")
    robot.until(lambda: bool(described and texts and found), "the last result on every topic")
    captions = [region.caption for region in described[-1].regions]
    assert len(captions) == 2
    value = json.loads(texts[-1].data)
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(value)
    assert [region["caption"] for region in value["regions"]] == captions
    classes = [item.results[0].hypothesis.class_id for item in found[-1].detections]
    assert classes == captions
    assert found[-1].header == header(SECOND)
