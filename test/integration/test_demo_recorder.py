"""The recorder beside a node that knows the truth: what it prints, keeps and ends with."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.node import Node
from ros_domains import own_domain
from ros_support import Spinner, detection, detections, header, image, ros_context, until_true
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from surroundings import of_a_user
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.demo_camera import PERIOD_NS
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.annotated_image import rgb_to_image


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


class Recording:
    """A recorder as a process, and a node beside it."""

    def __init__(self, name: str, context: Context, domain: int, folder: Path) -> None:
        self.peer = Node(name, context=context)
        self.spinner = Spinner(context, self.peer)
        self.world = World(seed=11, objects=5, start_ns=time.time_ns())
        self.said = folder / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "perceptiondlm_ros.development.demo.recorder"]
                + ["--seconds=2.5", "--seed=11", "--objects=5", f"--output={folder}"]
                + [f"--start-ns={self.world.start_ns}"],
                env=of_a_user(ROS_DOMAIN_ID=str(domain)),
                stdout=said,
            )


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Recording]]:
    begun: list[Recording] = []
    with own_domain() as domain, ros_context(domain) as context:

        def begin(name: str) -> Recording:
            begun.append(Recording(name, context, domain, tmp_path))
            return begun[-1]

        yield begin
        for recording in begun:
            recording.process.kill()
            recording.process.wait()
            recording.peer.destroy_node()


@pytest.mark.parametrize(("wrong", "status"), [(1, 0), (2, 3)])
def test_truth_is_recognised_and_four_of_five_are_enough(
    wrong: int, status: int, tmp_path: Path, begin: Callable[[str], Recording]
) -> None:
    recording = begin("oracle")
    process, spinner = recording.process, recording.spinner
    oracle = Oracle(recording.peer, recording.world, wrong)
    spinner.until(oracle.heard, "the recorder's subscriptions")
    # A recorder that is busy may miss what others push out of the queue.
    oracle.publish()
    spinner.until((tmp_path / "annotated_000.1s.png").exists, "the first picture")
    spinner.until(lambda: process.poll() is not None, "its end", again=oracle.publish)
    lines = recording.said.read_text().splitlines()
    blocks = [line for line in lines if f"{5 - wrong} of 5 right, 1 dropped" in line]
    assert process.returncode == status, lines
    assert lines[-1] == f"{(5 - wrong) * len(blocks)} of {5 * len(blocks)} captions right"
    assert f"{len(blocks)} regions dropped" in lines[-3]
    assert 1 <= len(blocks) <= oracle.frames
    with Reader(tmp_path / "bag") as reader:
        assert 0 < reader.message_count <= 3 * len(blocks)


def test_the_state_is_asked_for_again_where_the_answer_was_lost(
    begin: Callable[[str], Recording],
) -> None:
    recording = begin("region_captioner")
    answer = GetState.Response(current_state=State(id=State.PRIMARY_STATE_ACTIVE))
    service = recording.peer.create_service(
        GetState, "region_captioner/get_state", lambda request, response: answer
    )
    with service.handle:  # the first question is taken and not answered
        until_true(
            lambda: service.handle.service_take_request(GetState.Request)[0] is not None,
            "the first question",
        )
    recording.spinner.until(
        lambda: "the node is active" in recording.said.read_text(), "the second question"
    )
