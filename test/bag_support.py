"""Small bags for tests, made and read without ROS, and a captioner without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.offline.caption_bag import Options, Summary, caption_bag
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, DETECTIONS, IMAGE, typestore

MS = 1_000_000
START = 1_000_000 * MS  # stamp of the first image, in ns
LATE = 5 * MS  # from a stamp to the recorder's clock
STORE: Any = typestore()
TYPES = STORE.types
STRING = "std_msgs/msg/String"


def header(stamp_ns: int) -> Any:
    time = TYPES["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=time, frame_id="camera")


def image(stamp_ns: int, value: int = 90, width: int = 32, height: int = 24) -> Any:
    return TYPES[IMAGE](
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.full(3 * width * height, value, np.uint8),
    )


def detections(stamp_ns: int, boxes: Sequence[tuple[float, float, float, float]]) -> Any:
    """Boxes as (x0, y0, x1, y1) px; each has its number as its id, and the label cup."""
    return TYPES[DETECTIONS](
        header=header(stamp_ns),
        detections=[_detection(str(number), *box) for number, box in enumerate(boxes)],
    )


def _detection(name: str, x0: float, y0: float, x1: float, y1: float) -> Any:
    point = TYPES["vision_msgs/msg/Point2D"](x=(x0 + x1) / 2, y=(y0 + y1) / 2)
    centre = TYPES["vision_msgs/msg/Pose2D"](position=point, theta=0.0)
    box = TYPES["vision_msgs/msg/BoundingBox2D"](center=centre, size_x=x1 - x0, size_y=y1 - y0)
    zero = TYPES["geometry_msgs/msg/Point"](x=0.0, y=0.0, z=0.0)
    turn = TYPES["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
    place = TYPES["geometry_msgs/msg/PoseWithCovariance"](
        pose=TYPES["geometry_msgs/msg/Pose"](position=zero, orientation=turn),
        covariance=np.zeros(36),
    )
    guess = TYPES["vision_msgs/msg/ObjectHypothesis"](class_id="cup", score=0.5)
    result = TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](hypothesis=guess, pose=place)
    return TYPES["vision_msgs/msg/Detection2D"](
        header=header(0), results=[result], bbox=box, id=name
    )


def text(words: str) -> Any:
    return TYPES[STRING](data=words)


def write_bag(
    path: Path,
    messages: Sequence[tuple[str, int, str, Any]],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """messages: topic, log time in ns, type and message."""
    writer = Writer(path, version=8, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, log_ns, kind, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, STORE.serialize_cdr(message, kind))
    return path


def scene(frames: int = 4) -> list[tuple[str, int, str, Any]]:
    """Frames at 10 Hz with a box each and one more a frame, and something else between them."""
    messages = []
    for number in range(frames):
        stamp = START + 100 * number * MS
        boxes = [(2.0 + n, 2.0, 12.0 + n, 10.0 + number) for n in range(1 + number)]
        messages += [
            ("/image", stamp + LATE, IMAGE, image(stamp, 60 + number)),
            ("/chatter", stamp + LATE, STRING, text(f"word {number}")),
            ("/detections", stamp + 2 * LATE, DETECTIONS, detections(stamp, boxes)),
        ]
    return messages


@dataclass
class Contents:
    """A bag as it is read: raw messages in order, and descriptions as messages."""

    raw: list[tuple[str, int, bytes]] = field(default_factory=list)
    described: list[tuple[int, Any]] = field(default_factory=list)
    connections: dict[str, Any] = field(default_factory=dict)


def contents(path: Path, topic: str = "/region_captioner/descriptions") -> Contents:
    found = Contents()
    with Reader(path) as reader:
        found.connections = {connection.topic: connection for connection in reader.connections}
        for connection, log_ns, data in reader.messages():
            found.raw.append((connection.topic, log_ns, bytes(data)))
            if connection.topic == topic:
                found.described.append((log_ns, STORE.deserialize_cdr(data, DESCRIPTIONS)))
    return found


class FakeCaption:
    confidence = 0.5
    truncated = False

    def __init__(self, text: str) -> None:
        self.text = text


class FakeCaptioner:
    """Says how bright the image is and where the boxes are; fails after so many passes."""

    name = "fake"

    def __init__(self, passes: int = 1000, error: BaseException | None = None) -> None:
        self.left = passes
        self.error = error or BackendError("out of memory")
        self.passes = 0

    def describe(
        self, image: np.ndarray, regions: Sequence[Any], prompt: str | None = None
    ) -> list[Any]:
        if self.passes == self.left:
            raise self.error
        self.passes += 1
        return [FakeCaption(f"{image[0, 0, 0]} at {box}") for box in regions]


def caption(source: Path, output: Path, captioner: Any = None, **options: Any) -> Summary:
    fake = captioner or FakeCaptioner()
    return caption_bag(source, output, lambda: fake, Options(**options))
