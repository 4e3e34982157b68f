"""What tests of the node share: messages, a captioner without a model, waiting for events."""

from __future__ import annotations

import array
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import rclpy
import rclpy.node
from builtin_interfaces.msg import Time
from patience import PATIENCE
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_domains import own_domain
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.captioner import Box
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.settings import SPECS, Settings, with_values


@dataclass(frozen=True)
class FakeCaption:
    text: str
    confidence: float = 0.5
    token_ids: list[int] = field(default_factory=list)
    truncated: bool = False


class FakeCaptioner:
    """Says where each box is.

    `gate` holds passes back until it is set, after the drafts if there are some; `error` is raised.
    """

    name = "fake"
    description = "nothing on cpu"

    def __init__(self) -> None:
        self.gate = Event()
        self.gate.set()
        self.started = Event()
        self.closed = Event()
        self.error: Exception | None = None
        self.prompts: list[str | None] = []
        self.first_pixels: list[int] = []

    def describe(
        self,
        image: np.ndarray,
        regions: Sequence[Box],
        prompt: str | None = None,
        *,
        draft_steps: int | None = None,
        on_draft: Callable[[dict[int, Any]], None] | None = None,
    ) -> list[Any]:
        if draft_steps and on_draft:
            on_draft({n: FakeCaption(f"draft {_place(r)}") for n, r in enumerate(regions)})
        self.started.set()
        assert self.gate.wait(PATIENCE), "the test never opened the gate"
        if self.error:
            raise self.error
        self.prompts.append(prompt)
        self.first_pixels.append(int(image[0, 0, 0]))
        return [FakeCaption(_place(region)) for region in regions]

    def check_prompt(self, prompt: str) -> None:
        if "<|" in prompt:
            raise InputError("prompt contains a special token, expected plain text")

    def close(self) -> None:
        self.closed.set()


def _place(region: Any) -> str:
    """Where a box or a mask [H, W] is."""
    if isinstance(region, np.ndarray):
        rows, columns = np.nonzero(region)
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return "mask " + " ".join(str(edge) for edge in edges)
    return "box " + " ".join(f"{edge:g}" for edge in region)


def settings(values: Mapping[str, object] | None = None) -> Settings:
    """Every parameter at its default but for some. values: of those, by their names."""
    given = {spec.name: spec.default for spec in SPECS} | dict(values or {})
    return with_values(Settings(), given.__getitem__)


def until_true(happened: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Wait for something that other threads do."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.002)


def stamp(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def header(nanoseconds: int, frame_id: str = "camera") -> Header:
    return Header(stamp=stamp(nanoseconds), frame_id=frame_id)


def image(nanoseconds: int, value: int = 90, width: int = 64, height: int = 48) -> Image:
    return image_of(np.full((height, width, 3), value, np.uint8), "rgb8", nanoseconds)


def image_of(
    numbers: np.ndarray, encoding: str, nanoseconds: int = 0, frame_id: str = "camera"
) -> Image:
    """An image message of numbers [H, W] or [H, W, C], as they lie in memory."""
    height, width = numbers.shape[:2]
    data = array.array("B", numbers.tobytes())
    return Image(
        header=header(nanoseconds, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        step=len(data) // height,
        data=data,
    )


def detection(
    x0: float, y0: float, x1: float, y1: float, name: str = "", label: str = "", score: float = 0.5
) -> Detection2D:
    result = Detection2D(id=name)
    result.bbox.center.position.x = (x0 + x1) / 2
    result.bbox.center.position.y = (y0 + y1) / 2
    result.bbox.size_x, result.bbox.size_y = float(x1 - x0), float(y1 - y0)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = label, score
    result.results = [hypothesis]
    return result


def detections(nanoseconds: int, items: Sequence[Detection2D] | None = None) -> Detection2DArray:
    given = [detection(8, 8, 24, 24, "1", "cup")] if items is None else list(items)
    return Detection2DArray(header=header(nanoseconds), detections=given)


@contextmanager
def ros_context(domain: int | None = None) -> Iterator[Context]:
    """An own context, on a domain of its own unless one is given."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with ExitStack() as held:
        number = held.enter_context(own_domain()) if domain is None else domain
        context = Context()
        rclpy.init(context=context, domain_id=number)
        held.callback(context.try_shutdown)
        yield context


LATE_TOO = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Of a listener who gets the last result as well that was published before it was connected."""


class Spinner:
    """Spins nodes in the test's own thread, until something has happened."""

    def __init__(self, context: Context, *nodes: rclpy.node.Node) -> None:
        self.executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            self.executor.add_node(node)

    def until(
        self,
        happened: Callable[[], bool],
        what: str,
        timeout: float = PATIENCE,
        again: Callable[[], object] | None = None,
    ) -> None:
        """Spin until `happened`; `again` is called about ten times a second meanwhile."""
        deadline = time.monotonic() + timeout
        next_call = 0.0
        while not happened():
            now = time.monotonic()
            assert now < deadline, f"not within {timeout} s: {what}"
            if again and now >= next_call:
                again()
                next_call = now + 0.1
            self.executor.spin_once(timeout_sec=0.05)

    def result(self, future: Any, what: str, timeout: float = PATIENCE) -> Any:
        self.until(future.done, what, timeout)
        return future.result()


class Peer:
    """A camera, a detector and a listener, beside the node in their namespace."""

    def __init__(self, context: Context, namespace: str = "") -> None:
        self.peer = rclpy.node.Node("peer", context=context, namespace=namespace)
        self.images = self.peer.create_publisher(Image, "image", 10)
        self.found = self.peer.create_publisher(Detection2DArray, "detections", 10)
        self.received: list[RegionDescriptionArray] = []
        self._listener = self.peer.create_subscription(
            RegionDescriptionArray, "region_captioner/descriptions", self.received.append, LATE_TOO
        )

    def is_taken(self) -> bool:
        """Whether the node takes images and detections: none that is published now is lost."""
        publishers = (self.images, self.found)
        return taken_reliably(self.peer, *(p.topic_name for p in publishers)) and all(
            publisher.get_subscription_count() for publisher in publishers
        )

    def hears(self) -> bool:
        """Whether the node's descriptions are known of here."""
        return self.peer.count_publishers(self._listener.topic_name) > 0


def taken_reliably(peer: rclpy.node.Node, *topics: str) -> bool:
    """Whether some subscriber takes each topic reliably: nothing published from now on is lost."""
    return all(
        any(
            info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for info in peer.get_subscriptions_info_by_topic(topic)
        )
        for topic in topics
    )
