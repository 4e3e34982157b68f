"""What the node takes, over DDS: compressed images, masks, other names, and what it can't match."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from malformed_messages import compressed, file_of
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_robot import Robot, running_robot
from ros_support import detections, image, image_of, taken_reliably
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

SECOND = 1_000_000_000
COMPRESSED = Parameter("image_transport", value="compressed")


def masks(nanoseconds: int, *boxes: tuple[int, int, int, int]) -> Image:
    ids = np.zeros((48, 64), np.uint8)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        ids[y0:y1, x0:x1] = index + 1
    return image_of(ids, "mono8", nanoseconds)


@pytest.mark.parametrize(
    ("remapping", "topic"),
    [
        ("__ns:=/left", "/left/image/compressed"),
        ("image:=/front/image_raw", "/front/image_raw/compressed"),
        ("image/compressed:=/small", "/small"),
    ],
)
def test_compressed_images_follow_the_remapping_of_the_image(remapping: str, topic: str) -> None:
    options = {
        "parameter_overrides": [COMPRESSED],
        "cli_args": ["--ros-args", "-r", remapping],
    }
    namespace = topic.removesuffix("/image/compressed") if "__ns" in remapping else ""
    with running_robot(namespace=namespace, **options) as robot:
        assert robot.node.inputs.images.topic == topic
        camera = robot.peer.create_publisher(CompressedImage, topic, 10)
        robot.activate()
        robot.until(
            lambda: (
                taken_reliably(robot.peer, topic, robot.found.topic_name)
                and camera.get_subscription_count() > 0
                and robot.found.get_subscription_count() > 0
            ),
            "subscribed",
        )

        jpeg = file_of(np.full((48, 64, 3), 150, np.uint8), "JPEG")
        stamps = itertools.count(SECOND, SECOND)

        def publish() -> None:
            stamp = next(stamps)
            camera.publish(compressed(stamp, jpeg, "jpeg"))
            robot.found.publish(detections(stamp))

        robot.until(lambda: bool(robot.received), "descriptions", again=publish)
        assert robot.received[0].regions[0].caption == "box 8 8 24 24"
        assert robot.captioner.first_pixels[-1] == pytest.approx(150, abs=2)


def test_latched_detections_of_the_past_are_not_taken_for_those_of_a_new_image(
    robot: Robot,
) -> None:
    robot.peer.destroy_publisher(robot.found)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.found = robot.peer.create_publisher(Detection2DArray, "detections", latched)
    robot.found.publish(detections(SECOND))
    robot.start()
    robot.until(lambda: robot.node.counters.detections > 0, "what was latched")
    robot.images.publish(image(100 * SECOND))
    robot.until(lambda: robot.node.counters.unmatched > 0, "counted as unmatched")
    robot.frame(101 * SECOND)
    robot.until(lambda: bool(robot.received), "descriptions of the new one")
    assert [message.header.stamp.sec for message in robot.received] == [101]
    assert robot.node.counters.clock_jumps == 0


def test_masks_are_captioned_in_place_of_boxes_once_they_are_wanted(robot: Robot) -> None:
    robot.start()
    publisher = robot.peer.create_publisher(Image, "masks", 10)
    assert publisher.get_subscription_count() == 0
    robot.node.set_parameters([Parameter("masks.enabled", value=True)])
    robot.until(lambda: taken_reliably(robot.peer, "/masks"), "subscribed")
    robot.until(lambda: publisher.get_subscription_count() > 0, "matched")
    robot.frame(SECOND)
    publisher.publish(masks(SECOND, (10, 10, 15, 20)))
    robot.until(lambda: bool(robot.received), "descriptions")
    assert robot.received[0].regions[0].caption == "mask 10 10 15 20"
    assert robot.node.counters.masks_missing == 0
    robot.node.set_parameters([Parameter("masks.enabled", value=False)])
    robot.until(lambda: publisher.get_subscription_count() == 0, "unsubscribed")


def test_missing_and_wrong_masks_are_told_and_boxes_are_captioned(robot: Robot) -> None:
    robot.node.set_parameters([Parameter("masks.enabled", value=True)])
    publisher = robot.peer.create_publisher(Image, "masks", 10)
    robot.start()
    robot.until(lambda: publisher.get_subscription_count() > 0, "matched")
    robot.frame(SECOND)
    robot.until(lambda: bool(robot.received), "descriptions without masks")
    assert robot.received[0].regions[0].caption == "box 8 8 24 24"
    assert robot.node.counters.masks_missing == 1
    robot.until(lambda: any("no masks within" in line for line in robot.warnings), "a line")
    assert any("/masks" in line and "masks.enabled" in line for line in robot.warnings)
    robot.frame(2 * SECOND)
    wrong = masks(2 * SECOND)
    wrong.encoding = "rgb8"
    publisher.publish(wrong)
    robot.until(lambda: len(robot.received) == 2, "descriptions in spite of wrong masks")
    assert robot.node.counters.masks == 1 and robot.node.counters.masks_missing == 1


def test_detections_without_an_image_say_why(robot: Robot) -> None:
    robot.node.monitor._throttle._period = 0.0
    robot.node.set_parameters([Parameter("matching.images_kept", value=2)])
    robot.start()
    counters = robot.node.counters
    robot.found.publish(detections(SECOND))
    robot.until(lambda: counters.unmatched == 1, "given up")
    assert "no image" in robot.warnings[0] and "/image" in robot.warnings[0]
    robot.images.publish(image(2 * SECOND))
    robot.until(lambda: counters.images == 1, "image")
    robot.found.publish(detections(2_310_000_000))
    robot.until(lambda: counters.unmatched == 2, "given up")
    assert "0.310 s away, above matching.tolerance 0.100 s" in robot.warnings[1]
    assert counters.last_gap == pytest.approx(0.31)
    for n in range(1, 5):
        robot.images.publish(image(3 * SECOND + n * SECOND // 10))
    robot.until(lambda: counters.images == 5, "images")
    robot.found.publish(detections(3 * SECOND))
    robot.until(lambda: counters.unmatched == 3, "given up")
    assert "image was forgotten; raise matching.images_kept" in robot.warnings[2]
    assert counters.last_gap == pytest.approx(0.3)
    (result,) = robot.node.set_parameters([Parameter("matching.tolerance", value=0.5)])
    assert result.successful
    robot.found.publish(detections(3_710_000_000))
    robot.until(lambda: bool(robot.received), "matched within the new tolerance")
    assert counters.matched_nearest == 1


def test_memory_of_images_is_bounded_by_the_parameter_and_older_ones_are_counted(
    robot: Robot,
) -> None:
    robot.node.set_parameters([Parameter("matching.memory", value=1)])
    robot.start()
    for n in range(1, 12):
        robot.images.publish(image(n * SECOND, width=320, height=240))  # 0.23 MB
        robot.until(lambda n=n: robot.node.counters.images == n, "image")
    assert len(robot.node.inputs._matcher._images.items) == 4
    robot.images.publish(image(11 * SECOND - SECOND // 10))
    robot.until(lambda: robot.node.counters.backward_stamps == 1, "an image out of order")
