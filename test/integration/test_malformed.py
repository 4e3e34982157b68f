"""Nothing that arrives breaks the node, blocks it or stays in its memory."""

from __future__ import annotations

import array
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from malformed_messages import (
    GOOD,
    any_frame,
    compressed,
    file_of,
    good_image,
    ids,
)
from rclpy.parameter import Parameter
from ros_robot import Robot, running_robot
from ros_support import FakeCaptioner, detection, detections, header
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray
from visualization_msgs.msg import MarkerArray

from perceptiondlm_ros.processing.boundary import check_image, check_regions

SECOND = 1_000_000_000
PARAMETERS = {
    "masks.enabled": True,
    "publish.json": True,
    "publish.detections": True,
    "reuse.enabled": False,
    "markers.always": True,
}


OUTPUTS = (
    (String, "descriptions/json"),
    (Detection2DArray, "detections"),
    (Image, "annotated_image"),
    (CompressedImage, "annotated_image/compressed"),
    (MarkerArray, "markers"),
)


class StrictCaptioner(FakeCaptioner):
    """Refuses what the real one would refuse."""

    def describe(
        self, image: np.ndarray, regions: Sequence[Any], prompt: str | None = None
    ) -> list[Any]:
        height, width = check_image(image).shape[:2]
        check_regions(regions, height, width)
        return super().describe(image, regions, prompt)


class Victim(Robot):
    """A node that takes masks and publishes all that it can, and what is thrown at it."""

    def __init__(self, robot: Robot, kind: type[Any]) -> None:
        self.__dict__ = robot.__dict__
        self.captioner = StrictCaptioner()
        self.kind = kind
        topic = self.node.inputs.images.topic
        self.camera = self.peer.create_publisher(kind, topic, 10)
        self.masks = self.peer.create_publisher(Image, "masks", 10)
        # Who watches all outputs makes the node render all of them.
        for output, topic in OUTPUTS:
            self.peer.create_subscription(
                output, f"region_captioner/{topic}", lambda message: None, 1
            )
        self.stamps = itertools.count(1_700_000_000 * SECOND, SECOND // 4)

    def begin(self) -> None:
        self.activate()
        publishers = (self.camera, self.found, self.masks)
        self.until(lambda: all(p.get_subscription_count() for p in publishers), "subscriptions")
        self.is_well()

    def throw(self, image: Any, masks: Image, found: Detection2DArray) -> None:
        """Publish what may be one frame, and wait until the node has taken it."""
        before = self.node.counters.detections
        self.camera.publish(image)
        self.masks.publish(masks)
        self.found.publish(found)
        self.until(lambda: self.node.counters.detections > before, "taken")
        # Else the next one may take its place before anybody has looked at it.
        self.until(lambda: self.node._captioning.mailbox._item is None, "looked at")

    def good_image(self, nanoseconds: int) -> Any:
        return good_image(self.kind, nanoseconds)

    def is_well(self) -> None:
        """Wait until a good frame is captioned as ever, and nothing else went wrong meanwhile."""
        self.received.clear()
        sent: set[int] = set()

        def publish() -> None:
            stamp = next(self.stamps)
            sent.add(stamp)
            self.camera.publish(self.good_image(stamp))
            self.masks.publish(ids(stamp))
            self.found.publish(detections(stamp, [GOOD]))

        def answered() -> bool:
            return any(
                message.header.stamp.sec * SECOND + message.header.stamp.nanosec in sent
                and [region.caption for region in message.regions] == ["mask 10 10 15 20"]
                for message in self.received
            )

        self.until(answered, f"a good frame\n{self.warnings[-3:]}", again=publish)
        assert not [line for line in self.warnings if "worker" in line or "captioning f" in line]
        assert not [line for line in self.warnings if "output" in line], self.warnings


@pytest.fixture(scope="module", params=[Image, CompressedImage], ids=lambda kind: kind.__name__)
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    transport = "raw" if request.param is Image else "compressed"
    values = PARAMETERS | {"image_transport": transport}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    with running_robot(parameter_overrides=overrides) as robot:
        victim = Victim(robot, request.param)
        victim.begin()
        yield victim


@settings(
    max_examples=60,
    phases=[Phase.generate],  # what fails depends on what came before, so it can't be made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_is_thrown_at_it_the_next_good_frame_is_captioned(
    victim: Victim, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        victim.throw(*data.draw(any_frame(victim.kind, next(victim.stamps))))
    victim.is_well()


def test_every_detections_message_of_it_is_accounted_for(victim: Victim) -> None:
    counters = victim.node.counters
    enough = ("frames_failed", "regions_dropped", "unmatched", "clock_jumps", "unset_stamps")
    assert min(getattr(counters, name) for name in enough) >= 3, "else nothing was shown before"
    fates = ("unmatched", "replaced", "withdrawn")
    frames = ("captioned", "reused", "failed", "discarded", "skipped", "late")
    names = (*fates, *(f"frames_{name}" for name in frames))
    victim.until(
        lambda: sum(getattr(counters, name) for name in names) == counters.detections > 60,
        f"as many fates as detections: {counters}",
    )


def test_ten_thousand_detections(victim: Victim) -> None:
    for items in (
        [GOOD] * 10_000,
        [detection(math.nan, -math.inf, 9, 9)] * 10_000,
        [detection(n % 60, n % 40, n % 60 + 2, n % 40 + 3, str(n)) for n in range(10_000)],
    ):
        stamp = next(victim.stamps)
        victim.received.clear()
        victim.throw(victim.good_image(stamp), ids(stamp), detections(stamp, items))
        victim.until(
            lambda: any(len(m.regions) + m.dropped == 10_000 for m in victim.received),
            "an answer to all",
        )
    victim.is_well()


def test_8k_images(victim: Victim) -> None:
    """33 megapixels: 100 MB as raw pixels."""
    stamp = next(victim.stamps)
    if victim.kind is Image:
        sent = Image(header=header(stamp), width=7680, height=4320, step=7680 * 3, encoding="rgb8")
        sent._data = array.array("B", bytes(7680 * 4320 * 3))  # the setter looks at each byte
    else:
        sent = compressed(stamp, file_of(np.zeros((4320, 7680, 3), np.uint8), "JPEG"), "jpeg")
    victim.received.clear()
    victim.camera.publish(sent)
    victim.found.publish(detections(stamp, [detection(7000, 4000, 7600, 4300, "far")]))
    victim.until(
        lambda: any(region.id == "far" for m in victim.received for region in m.regions),
        "its caption",
    )
    victim.is_well()
