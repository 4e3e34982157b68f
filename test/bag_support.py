"""Small bags for tests, made and read without ROS, and a captioner without a model."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from ruamel.yaml import YAML

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.caption_bag import BagOptions, BagSummary, caption_bag
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, DETECTIONS, IMAGE, typestore

MS = 1_000_000
START = 1_000_000 * MS  # stamp of the first image, in ns
LATE = 5 * MS  # from a stamp to the recorder's clock
STORE: Any = typestore()
TYPES = STORE.types
STRING = "std_msgs/msg/String"
KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


def header(stamp_ns: int) -> Any:
    time = TYPES["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp=time, frame_id="camera")


def image(stamp_ns: int, value: int = 90, width: int = 32, height: int = 24) -> Any:
    return picture(stamp_ns, "rgb8", np.full((height, width, 3), value, np.uint8))


def picture(stamp_ns: int, encoding: str, pixels: np.ndarray) -> Any:
    return TYPES[IMAGE](
        header=header(stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=pixels.reshape(-1).view(np.uint8),
    )


def detections(stamp_ns: int, boxes: Sequence[tuple[float, float, float, float]]) -> Any:
    """Boxes as (x0, y0, x1, y1) px; each has its number as its id, and the label cup."""
    return TYPES[DETECTIONS](
        header=header(stamp_ns),
        detections=[_detection(str(number), *box) for number, box in enumerate(boxes)],
    )


def _detection(name: str, x0: float, y0: float, x1: float, y1: float) -> Any:
    point = TYPES["vision_msgs/msg/Point2D"]((x0 + x1) / 2, (y0 + y1) / 2)
    centre = TYPES["vision_msgs/msg/Pose2D"](point, 0.0)
    pose = TYPES["geometry_msgs/msg/Pose"](
        TYPES["geometry_msgs/msg/Point"](0.0, 0.0, 0.0),
        TYPES["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
    )
    result = TYPES["vision_msgs/msg/ObjectHypothesisWithPose"](
        TYPES["vision_msgs/msg/ObjectHypothesis"]("cup", 0.5),
        TYPES["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
    )
    box = TYPES["vision_msgs/msg/BoundingBox2D"](centre, x1 - x0, y1 - y0)
    return TYPES["vision_msgs/msg/Detection2D"](header(0), [result], box, name)


Message = tuple[str, int, str, Any]
"""Topic, log time in ns, type, and a message or the bytes that stand for one."""


def serialized(kind: str, message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(STORE.serialize_cdr(message, kind))


def write_bag(
    path: Path,
    messages: Sequence[Message],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    writer = Writer(path, version=8, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, log_ns, kind, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, serialized(kind, message))
    return path


@dataclass(frozen=True)
class Foreign:
    """A channel of an MCAP file that is not ROS 2's. schema: name, encoding, data; None: none."""

    topic: str
    encoding: str
    schema: tuple[str, str, bytes] | None
    data: bytes = b"\x28\xb5\x2f\xfd any bytes"
    metadata: tuple[tuple[str, str], ...] = (("made by", "hand"),)


def write_mcap(
    path: Path,
    messages: Sequence[Message],
    foreign: Sequence[Foreign] = (),
    profile: str = "ros2",
    extras: bool = False,
    **options: Any,
) -> Path:
    """An MCAP file with a message of each foreign channel before and after each of the others.

    extras: attachments and metadata too. options: of mcap.writer.Writer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = McapWriter(file, **{"compression": CompressionType.NONE, **options})
        writer.start(profile)
        others = [
            writer.register_channel(
                channel.topic,
                channel.encoding,
                writer.register_schema(*channel.schema) if channel.schema else 0,
                dict(channel.metadata),
            )
            for channel in foreign
        ]
        topics: dict[str, int] = {}
        for number, (topic, log_ns, kind, message) in enumerate(messages):
            if topic not in topics:
                text = STORE.generate_msgdef(kind, ros_version=2)[0].encode()
                schema = writer.register_schema(kind, "ros2msg", text)
                topics[topic] = writer.register_channel(topic, "cdr", schema)
            for other, channel in zip(others, foreign, strict=True):
                writer.add_message(other, log_ns, channel.data, log_ns - 9, number)
            data = serialized(kind, message)
            writer.add_message(topics[topic], log_ns, data, log_ns - 7, number + 1)
            if extras and number == 1:
                writer.add_attachment(3, 5, "calibration.txt", "text/plain", b"\x00\xff fx 1")
                writer.add_metadata("driver", {"name": "K\u00e4the", "empty": ""})
        for other, channel in zip(others, foreign, strict=True):
            writer.add_message(other, messages[-1][1] + 1, channel.data, 0, 99)
        writer.finish()
    return path


def edit_metadata(bag: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the metadata.yaml of a bag says."""
    yaml = YAML(typ="safe")
    path = bag / "metadata.yaml"
    said = yaml.load(path.read_text())
    change(said["rosbag2_bagfile_information"])
    with path.open("w") as file:
        yaml.dump(said, file)


def split_bag(
    path: Path,
    parts: Sequence[Sequence[Message]],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """A bag of several files, named as the bag with _0, _1, ... as recorders do."""
    everything = [message for part in parts for message in part]
    write_bag(path, everything, storage, compression)
    for file in path.glob(f"{path.name}.*"):
        file.unlink()
    names: list[str] = []
    for number, part in enumerate(parts):
        one = write_bag(path / f"{path.name}_{number}", part, storage, compression)
        (file,) = one.glob(f"{one.name}.*")
        names.append(file.name)
        file.rename(path / file.name)
        shutil.rmtree(one)
    counts = [{"path": n, "message_count": len(p)} for n, p in zip(names, parts, strict=True)]
    edit_metadata(path, lambda said: said.update(relative_file_paths=names, files=counts))
    return path


def died(
    path: Path,
    messages: Sequence[Message],
    settled: int = 0,
    journal: str = "WAL",
    unfinished: int = 0,
    checkpoint: str = "TRUNCATE",
    page: int = 4096,
) -> Path:
    """An SQLite file as a recorder leaves it that is killed, with its log beside it.

    settled: messages in the file itself; those after them are in the log only.
    journal: WAL, or DELETE for a rollback journal.
    unfinished: messages at the end that are in a transaction which was not finished.
    checkpoint: TRUNCATE empties the log after the settled messages; RESTART writes over it.
    page: bytes of a page.
    """
    with tempfile.TemporaryDirectory() as folder:
        living = Path(folder, path.name)
        database = sqlite3.connect(living, isolation_level=None)
        database.executescript(
            f"PRAGMA page_size={page}; PRAGMA journal_mode={journal};"
            "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=4;" + Sqlite3Writer.SQLITE_SCHEMA
        )
        topics: dict[str, int] = {}
        for topic, _, kind, _ in messages:
            if topic not in topics:
                topics[topic] = len(topics) + 1
                database.execute(
                    "INSERT INTO topics VALUES(?, ?, ?, 'cdr', '', ?)",
                    (topics[topic], topic, kind, STORE.hash_rihs01(kind)),
                )
        for number, (topic, log_ns, kind, message) in enumerate(messages):
            if number == len(messages) - unfinished:
                database.execute("BEGIN")
            database.execute(
                "INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)",
                (topics[topic], log_ns, serialized(kind, message)),
            )
            if number == settled - 1:
                database.execute(f"PRAGMA wal_checkpoint({checkpoint})")
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in living.parent.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, path.parent / file.name)
        database.close()
    return path


def scene(frames: int = 4) -> list[Message]:
    """Frames at 10 Hz with a box each and one more a frame, and something else between them."""
    messages = []
    for number in range(frames):
        stamp = START + 100 * number * MS
        boxes = [(2.0 + n, 2.0, 12.0 + n, 10.0 + number) for n in range(1 + number)]
        messages += [
            ("/image", stamp + LATE, IMAGE, image(stamp, 60 + number)),
            ("/chatter", stamp + LATE, STRING, TYPES[STRING](data=f"word {number}")),
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


class FakeCaption(NamedTuple):
    text: str
    confidence: float = 0.5
    truncated: bool = False


class FakeCaptioner:
    """Says how bright the image is and where the boxes are; fails after so many passes.

    seen: the regions of each pass.
    """

    name = "fake"

    def __init__(self, passes: int = 1000, error: BaseException | None = None) -> None:
        self.left = passes
        self.error = error or BackendError("out of memory")
        self.seen: list[list[Any]] = []

    @property
    def passes(self) -> int:
        return len(self.seen)

    def describe(
        self, image: np.ndarray, regions: Sequence[Any], prompt: str | None = None
    ) -> list[Any]:
        if self.passes == self.left:
            raise self.error
        self.seen.append(list(regions))
        return [FakeCaption(f"{image[0, 0, 0]} at {box}") for box in regions]


def held(path: Path) -> Any:
    """All of a bag that a new one is made of."""
    with BagReader(path) as bag:
        return (
            (bag.kind, bag.compression_mode, bag.chunk_compression, list(bag.extras())),
            [(connection, connection.msgcount) for connection in bag.connections],
            [(connection.id, message) for connection, message in bag.messages()],
        )


def lacks(source: Path, told: str) -> int:
    """Detections of a bag that is not whole and can be read with `partial` only."""
    with pytest.raises(InputError, match=rf"{told}.*--partial"):
        BagReader(source)
    with BagReader(source, partial=True) as bag:
        assert re.search(told, "; ".join(bag.lacking))
        read = [connection.topic for connection, _ in bag.messages()]
        assert len(read) == bag.count()
        return read.count("/detections")


def caption(source: Path, output: Path, captioner: Any = None, **options: Any) -> BagSummary:
    fake = captioner or FakeCaptioner()
    return caption_bag(source, output, lambda: fake, BagOptions(**options))
