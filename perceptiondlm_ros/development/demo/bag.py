"""An MCAP bag of captioned frames, for `ros2 bag` and Foxglove, written without either."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, DETECTIONS, IMAGE, typestore

_VERSION: Final = 8
"""Of the metadata: the newest in which quality of service has the form that Humble reads."""


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
            ("/image", IMAGE),
            ("/detections", DETECTIONS),
            ("/region_captioner/descriptions", DESCRIPTIONS),
        ):
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._types
            )

    def _write(self, topic: str, message: Any, now: int) -> None:
        self._writer.write(self._connections[topic], now, serialize_message(message))
