"""The node while it captions: frames, viewers, services and live parameters, in one process."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Picture
from ros_support import detection, detections, header, image, image_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2D
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.settings import SPECS
from perceptiondlm_ros.srv import DescribeRegions

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000
WIDTH, HEIGHT = 160, 120
CUP = (10, 10, 60, 60)
FRESH, REUSED = RegionDescription.FRESH, RegionDescription.REUSED
_BEGINNINGS = itertools.count(1000 * SECOND, 1000 * SECOND)


@pytest.fixture
def robot(running: Robot) -> Robot:
    running.received.clear()
    return running


@pytest.fixture
def begin() -> int:
    """A stamp long after all those of the tests before, in nanoseconds."""
    return next(_BEGINNINGS)


@pytest.fixture
def change(robot: Robot) -> Iterator[Callable[[str, object], Any]]:
    """Sets a parameter until the end of the test."""
    changed = set()

    def change(name: str, value: object) -> Any:
        changed.add(name)
        return robot.set(name, value)

    yield change
    for spec in SPECS:
        if spec.name in changed:
            assert robot.set(spec.name, spec.default).successful


@pytest.fixture
def listen(robot: Robot) -> Iterator[Callable[[type, str], list[Any]]]:
    """Hears a topic of the node until the end of the test."""
    subscriptions = []

    def listen(kind: type, topic: str) -> list[Any]:
        heard: list[Any] = []
        name = f"region_captioner/{topic}"
        subscriptions.append(robot.peer.create_subscription(kind, name, heard.append, 10))
        return heard

    yield listen
    for subscription in subscriptions:
        robot.peer.destroy_subscription(subscription)


def call(robot: Robot, kind: Any, name: str, request: Any) -> Any:
    return robot.call(robot.peer.create_client(kind, f"region_captioner/{name}"), request)


def publish(robot: Robot, stamp: int, items: list[Detection2D] | None = None) -> None:
    robot.images.publish(image(stamp, width=WIDTH, height=HEIGHT))
    robot.found.publish(detections(stamp, items))


def about(robot: Robot, stamp: int) -> list[RegionDescriptionArray]:
    """What was said of a frame, apart from what is still said of one before."""
    return [message for message in robot.received if message.header == header(stamp)]


def source(robot: Robot, stamp: int) -> int:
    """Of the only region of a frame that is sent now."""
    robot.received.clear()
    publish(robot, stamp, [detection(*CUP, "7", "cup")])
    robot.until(lambda: any(m.regions for m in about(robot, stamp)), f"frame {stamp}")
    return next(int(m.regions[0].source) for m in about(robot, stamp) if m.regions)


def test_captions_arrive_for_every_detection_and_people_see_pictures_and_markers(
    robot: Robot, begin: int, listen: Callable[[type, str], list[Any]]
) -> None:
    infos = robot.peer.create_publisher(CameraInfo, "camera_info", 10)
    assert robot.peer.count_subscribers("/image") == 1
    assert robot.peer.count_subscribers("/camera_info") == 0, "nobody looks yet"
    pictures = listen(Image, "annotated_image")
    packed = listen(CompressedImage, "annotated_image/compressed")
    heard = listen(MarkerArray, "markers")
    info = CameraInfo(width=WIDTH, height=HEIGHT, k=[150.0, 0, 80, 0, 150, 60, 0, 0, 1])
    items = [
        detection(*CUP, "7", "cup", 0.9),
        detection(500, 10, 560, 60, "8", "cup"),
        detection(80, 20, 150, 110, "9", "bowl", 0.5),
    ]
    stamps = itertools.count(begin, SECOND // 2)

    def again() -> None:
        infos.publish(info)
        publish(robot, next(stamps), items)

    robot.until(
        lambda: bool(pictures and packed and any(array.markers for array in heard)),
        "pictures and markers",
        again=again,
    )
    message = next(m for m in robot.received if m.header.stamp.sec >= begin // SECOND)
    assert message.header.frame_id == "camera"
    assert [(r.id, r.index, r.label) for r in message.regions] == [
        ("7", 0, "cup"),
        ("9", 2, "bowl"),
    ]
    assert all(0 <= region.confidence <= 1 for region in message.regions)
    assert all(region.caption_stamp == message.header.stamp for region in message.regions)
    assert message.dropped == 1
    assert message.model
    assert (pictures[-1].width, pictures[-1].height) == (WIDTH, HEIGHT)
    assert pictures[-1].encoding == "rgb8"
    assert np.asarray(Picture.open(io.BytesIO(bytes(packed[-1].data)))).shape == (HEIGHT, WIDTH, 3)
    markers = next(array.markers for array in heard if array.markers)
    assert {marker.header.frame_id for marker in markers} == {"camera"}
    assert all(marker.action == Marker.ADD for marker in markers)
    assert sum("7 - cup" in marker.text for marker in markers) == 1
    robot.peer.destroy_publisher(infos)


def test_parameters_are_refused_with_the_reason_or_apply_to_the_next_frame(
    robot: Robot, begin: int, change: Callable[[str, object], Any]
) -> None:
    refused = robot.set("backend", "torch")
    assert not refused.successful and "cleanup" in refused.reason
    stamps = itertools.count(begin, SECOND // 5)
    assert [source(robot, next(stamps)) for _ in range(3)] == [FRESH, REUSED, REUSED]
    refused = robot.set("prompt", "What is <|mdm_mask|>?")
    assert not refused.successful and "special token" in refused.reason
    assert source(robot, next(stamps)) == REUSED
    assert change("prompt", "What is it?").successful
    assert [source(robot, next(stamps)) for _ in range(2)] == [FRESH, REUSED]
    assert change("reuse.max_age", 0.1).successful
    assert source(robot, next(stamps)) == FRESH
    assert not robot.set("reuse.max_age", -1.0).successful


def test_a_looping_bag_is_captioned_in_every_round(robot: Robot, begin: int) -> None:
    for seconds in (100, 101, 3, 4, 100, 3):
        robot.received.clear()
        stamp = begin + seconds * SECOND
        publish(robot, stamp)
        robot.until(lambda stamp=stamp: bool(about(robot, stamp)), f"descriptions of {seconds} s")


def test_describe_works_while_the_stream_is_off_and_the_stream_comes_back(
    robot: Robot, begin: int
) -> None:
    assert call(robot, SetBool, "enable", SetBool.Request(data=False)).success
    robot.until(lambda: robot.images.get_subscription_count() == 0, "no more subscription")
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[10:60, 10:60], ids[20:110, 80:150] = 1, 5
    sent = image(begin, width=WIDTH, height=HEIGHT)
    asked = DescribeRegions.Request(image=sent, masks=image_of(ids, "mono8"))
    answer = call(robot, DescribeRegions, "describe", asked)
    assert answer.success, answer.message
    assert [region.index for region in answer.descriptions.regions] == [0, 4]
    assert answer.descriptions.model == "tiny-a"
    assert call(robot, SetBool, "enable", SetBool.Request(data=True)).success
    robot.until_active()
    assert source(robot, begin) == FRESH
