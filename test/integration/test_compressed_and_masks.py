"""The node's other inputs with a real model: JPEG instead of pixels, masks instead of boxes."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from malformed_messages import compressed, file_of, ids
from ros_support import detection, detections, taken_reliably
from sensor_msgs.msg import CompressedImage, Image

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.messages.boxes import rotated_mask
from perceptiondlm_ros.messages.images import image_to_rgb
from perceptiondlm_ros.text import one_line

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


def test_captions_are_those_of_the_decoded_image_and_the_masks(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    robot.start(checkpoint=tiny_checkpoint, image_transport="compressed", masks__enabled=True)
    camera = robot.peer.create_publisher(CompressedImage, "image/compressed", 10)
    segmenter = robot.peer.create_publisher(Image, "masks", 10)
    publishers = (camera, segmenter, robot.found)
    robot.until(
        lambda: (
            taken_reliably(robot.peer, "/image/compressed", "/masks", "/detections")
            and all(publisher.get_subscription_count() for publisher in publishers)
            and robot.peer.count_publishers("region_captioner/descriptions") > 0
        ),
        "the node's topics",
    )
    noise = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    picture = compressed(0, file_of(noise, "JPEG"), "jpeg")
    masked, turned, upright = (
        detection(1, 1, 60, 40, "masked"),
        detection(10, 20, 50, 30, "turned"),
        detection(30, 5, 62, 45, "upright"),
    )
    turned.bbox.center.theta = math.pi / 5
    stamps = itertools.count(100 * SECOND, SECOND)

    def publish() -> None:
        sent = ids(next(stamps))
        picture.header = sent.header
        camera.publish(picture)
        segmenter.publish(sent)
        found = detections(0, [masked, turned, upright])
        found.header = sent.header
        robot.found.publish(found)

    captioner = Captioner.load(str(tiny_checkpoint))
    mask = image_to_rgb(ids(0))[:, :, 0] > 0
    expected = captioner.describe(
        image_to_rgb(picture), [mask, rotated_mask(turned.bbox, 64, 48), (30, 5, 62, 45)]
    )
    wanted = [
        (name, one_line(caption.text), float(np.float32(caption.confidence)))
        for name, caption in zip(("masked", "turned", "upright"), expected, strict=True)
    ]
    assert len({confidence for _, _, confidence in wanted}) == 3

    def described() -> list[list[tuple[str, str, float]]]:
        return [
            [(region.id, region.caption, region.confidence) for region in message.regions]
            for message in robot.received
        ]

    # Masks that come late on a busy machine are not waited for: that frame gets other captions.
    robot.until(lambda: wanted in described(), f"{wanted}", again=publish)
