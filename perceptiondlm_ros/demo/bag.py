"""An MCAP bag of captioned frames, for `ros2 bag` and Foxglove, written without either."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.msg import RegionDescriptionArray

_VERSION: Final = 8
"""Of the metadata: the newest in which quality of service has the form that Humble reads."""

_OWN_TYPES: Final = ("vision_msgs", "perceptiondlm_ros")


class Bag:
    """Writes what is captioned: an image, its detections, its descriptions. Use it with `with`.

    Without any frame there is no bag: an empty one has no start, which not every reader takes.
    """

    def __init__(self, path: Path) -> None:
        """path: the bag's folder, which must not exist yet."""
        self._writer = Writer(path, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        # Chunks are compressed inside the MCAP file, which every reader of MCAP undoes by itself.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._types = typestore()
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connections:  # after an error too: what is written so far can be opened
            self._writer.close()

    def write(
        self, image: Image, detections: Detection2DArray, descriptions: RegionDescriptionArray
    ) -> None:
        """Write one captioned frame; all three are logged at the time of this call."""
        if not self._connections:
            self._open()
        now = time.time_ns()
        self._write("/image", image, now)
        self._write("/detections", detections, now)
        self._write("/region_captioner/descriptions", descriptions, now)

    def write_again(self, descriptions: RegionDescriptionArray) -> None:
        """Write more complete descriptions of a frame that was written."""
        self._write("/region_captioner/descriptions", descriptions, time.time_ns())

    def _open(self) -> None:
        self._writer.open()
        for topic, kind in (
            ("/image", "sensor_msgs/msg/Image"),
            ("/detections", "vision_msgs/msg/Detection2DArray"),
            ("/region_captioner/descriptions", "perceptiondlm_ros/msg/RegionDescriptionArray"),
        ):
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._types
            )

    def _write(self, topic: str, message: Any, now: int) -> None:
        self._writer.write(self._connections[topic], now, serialize_message(message))


def typestore() -> Typestore:
    """The message types of ROS with vision_msgs and our own, read from their definitions."""
    store = get_typestore(Stores.LATEST)
    for package in _OWN_TYPES:
        for path in sorted(_share(package).glob("msg/*.msg")):
            store.register(get_types_from_msg(path.read_text(), f"{package}/msg/{path.stem}"))
    return store


def _share(package: str) -> Path:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(prefix) / "share" / package for prefix in prefixes if prefix]
    for folder in folders:
        if (folder / "msg").is_dir():
            return folder
    raise PerceptionDLMError(
        f"message definitions of {package}: none in {', '.join(map(str, folders))}; "
        "run `make setup`, or source the workspace in which the package is built"
    )
