"""The recorder beside a node that knows the truth: what it prints, keeps and ends with."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from ros_domains import own_domain
from ros_support import Spinner, detection, detections, header, image, ros_context, until_true
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from surroundings import of_a_user
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.camera import PERIOD_NS
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.conversions import rgb_to_image


class Oracle:
    """Camera and node in one: publishes the truth about each frame, except for `wrong` objects."""

    def __init__(self, peer: Node, world: World, wrong: int) -> None:
        self._world = world
        self._wrong = wrong
        self._images = peer.create_publisher(Image, "image", 10)
        self._found = peer.create_publisher(Detection2DArray, "detections", 10)
        self._said = peer.create_publisher(
            RegionDescriptionArray, "region_captioner/descriptions", 10
        )
        self._drawn = peer.create_publisher(Image, "region_captioner/annotated_image", 10)
        self.frames = 0

    def heard(self) -> bool:
        publishers = (self._images, self._found, self._said, self._drawn)
        return all(publisher.get_subscription_count() for publisher in publishers)

    def publish(self) -> None:
        self.frames += 1
        stamp = self._world.start_ns + self.frames * PERIOD_NS
        regions = [
            RegionDescription(id=name, caption="a nonsense" if index < self._wrong else texts[-1])
            for index, (name, texts) in enumerate(self._world.truth(stamp).items())
        ]
        # Captions first: topics are not ordered among each other.
        self._said.publish(RegionDescriptionArray(header=header(stamp), regions=regions, dropped=1))
        self._found.publish(detections(stamp, [detection(1, 2, 3, 4, "1")]))
        self._images.publish(image(stamp))
        pixels = np.full((48, 64, 3), self.frames % 256, np.uint8)
        self._drawn.publish(rgb_to_image(pixels, header(stamp)))


def record(world: World, domain: int, output: Path, said: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "perceptiondlm_ros.development.demo.recorder", "--seconds=2.5"]
        + ["--seed=11", "--objects=5", f"--start-ns={world.start_ns}", f"--output={output}"],
        env=of_a_user(ROS_DOMAIN_ID=str(domain)),
        stdout=said,
    )


@pytest.mark.parametrize(("wrong", "status"), [(1, 0), (2, 3)])
def test_truth_is_recognised_and_four_of_five_are_enough(
    wrong: int, status: int, tmp_path: Path
) -> None:
    world = World(seed=11, objects=5, start_ns=time.time_ns())
    first_picture = tmp_path / "annotated_000.1s.png"
    with (
        own_domain() as domain,
        ros_context(domain) as context,
        (tmp_path / "said.txt").open("wb") as said,
    ):
        peer = Node("oracle", context=context)
        oracle = Oracle(peer, world, wrong)
        process = record(world, domain, tmp_path, said)
        try:
            spinner = Spinner(context, peer)
            spinner.until(oracle.heard, "the recorder's subscriptions")
            # A recorder that is busy may miss what others push out of the queue.
            oracle.publish()
            spinner.until(first_picture.exists, "the first picture")
            spinner.until(lambda: process.poll() is not None, "its end", again=oracle.publish)
        finally:
            process.kill()
            process.wait()
            peer.destroy_node()
    lines = (tmp_path / "said.txt").read_text().splitlines()
    blocks = [line for line in lines if f"{5 - wrong} of 5 right, 1 dropped" in line]
    assert process.returncode == status, lines
    assert lines[-1] == f"{(5 - wrong) * len(blocks)} of {5 * len(blocks)} captions right"
    assert f"{len(blocks)} regions dropped" in lines[-3]
    assert 1 <= len(blocks) <= oracle.frames
    with Reader(tmp_path / "bag") as reader:
        assert 0 < reader.message_count <= 3 * len(blocks)


def test_the_state_is_asked_for_again_where_the_answer_was_lost(tmp_path: Path) -> None:
    world = World(seed=11, objects=5, start_ns=time.time_ns())
    answer = GetState.Response(current_state=State(id=State.PRIMARY_STATE_ACTIVE))
    with (
        own_domain() as domain,
        ros_context(domain) as context,
        (tmp_path / "said.txt").open("wb") as said,
    ):
        peer = Node("region_captioner", context=context)
        service = peer.create_service(
            GetState, "region_captioner/get_state", lambda request, response: answer
        )
        process = record(world, domain, tmp_path, said)
        try:
            with service.handle:  # the first question is taken and not answered
                until_true(
                    lambda: service.handle.service_take_request(GetState.Request)[0] is not None,
                    "the first question",
                )
            Spinner(context, peer).until(
                lambda: "the node is active" in (tmp_path / "said.txt").read_text(), "the second"
            )
        finally:
            process.kill()
            process.wait()
            peer.destroy_node()
