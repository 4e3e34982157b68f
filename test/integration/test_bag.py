"""The node, live, and `perceptiondlm bag`, without ROS, caption the same recording alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from patience import PATIENCE
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.demo_bag import DemoBag
from perceptiondlm_ros.development.demo.demo_camera import detections
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.annotated_image import rgb_to_image

if TYPE_CHECKING:
    from conftest import Robot

START = 1_700_000_000 * 10**9
TOPIC = "/offline/descriptions"
FRAMES = 4


def record(path: Path) -> None:
    """What the demo's recorder would: the demo's world at 2 Hz, nothing captioned."""
    from ros_support import header

    world = World(seed=7, objects=5, start_ns=START)
    with DemoBag(path) as bag:
        for number in range(1, FRAMES + 1):
            stamp = START + number * 500_000_000
            picture = render(world.at(stamp), masks=False)
            head = header(stamp)
            found = detections(world.at(stamp), picture.boxes, head)
            if number == 2:  # one rotated, one that can't be captioned
                found.detections[0].bbox.center.theta = 0.4
                found.detections[1].bbox.size_x = 0.0
            bag.write(
                image=rgb_to_image(picture.image, head),
                detections=found,
                descriptions=RegionDescriptionArray(header=head),
            )


def plain(message: Any) -> list[tuple[Any, ...]]:
    """What a RegionDescriptionArray of either kind says, but for its latency."""
    said: list[tuple[Any, ...]] = [
        (nanoseconds(message.header.stamp), message.header.frame_id, message.dropped, message.model)
    ]
    for region in message.regions:
        box = region.bbox
        place = (box.center.position.x, box.center.position.y, box.center.theta)
        said.append(
            (region.id, region.index, *place, box.size_x, box.size_y, region.label)
            + (np.float32(region.score), region.caption, np.float32(region.confidence))
            + (region.truncated, region.source, nanoseconds(region.caption_stamp))
        )
    return said


def live(robot: Robot, recording: Path) -> list[Any]:
    """Captions of the node, to which the bag's messages are published one frame after the other."""
    robot.start(reuse__enabled=False)
    robot.until_connected()
    with AnyReader([recording]) as reader:
        for connection, _, data in reader.messages():
            if connection.topic == "/image":
                robot.images.publish(deserialize_message(bytes(data), Image))
            elif connection.topic == "/detections":
                before = len(robot.received)
                robot.found.publish(deserialize_message(bytes(data), Detection2DArray))
                robot.until(lambda before=before: len(robot.received) > before, "captions")
    return robot.received


def test_node_and_offline_give_the_same_captions(robot: Robot, tmp_path: Path) -> None:
    record(tmp_path / "recording")
    # No ROS is sourced, and none of its libraries may be imported.
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('rclpy', 'sensor_msgs', 'vision_msgs')));"
        "from perceptiondlm_ros.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program, "bag", str(tmp_path / "recording"), str(tmp_path / "out")]
        + ["--descriptions", TOPIC],
        env={name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    published = live(robot, tmp_path / "recording")
    told, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, told
    assert f"in {FRAMES} frames" in told
    with AnyReader([tmp_path / "out"]) as reader:
        described = [
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == TOPIC
        ]
        texts = [region.caption for message in described for region in message.regions]
    assert len(set(texts)) > 3, "captions that are all the same prove nothing"
    assert [plain(message) for message in published] == [plain(message) for message in described]
