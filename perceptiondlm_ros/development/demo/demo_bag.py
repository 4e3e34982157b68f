"""An MCAP bag of captioned frames, for `ros2 bag` and Foxglove, written without either."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, DETECTIONS, IMAGE, typestore

_VERSION: Final = 8
"""Of the metadata: the newest in which quality of service has the form that Humble reads."""

_TOPICS: Final = {
    "image": ("/image", IMAGE),
    "detections": ("/detections", DETECTIONS),
    "descriptions": ("/region_captioner/descriptions", DESCRIPTIONS),
}
"""For each part of a frame its topic and its type."""


class DemoBag:
    """Writes what is captioned: an image, its detections, its descriptions. Use it with `with`.

    Without any frame there is no bag: an empty one has no start, which not every reader takes.

    Args:
        path: its folder, which must not exist yet.
        kept: stamps whose parts are remembered until the last one comes; older ones are forgotten.

    Attributes:
        lost: descriptions that were forgotten.
    """

    def __init__(self, path: Path, kept: int = 64) -> None:
        self._writer = Writer(path, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        # Chunks are compressed inside the MCAP file, which every reader of MCAP undoes by itself.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Connection] = {}
        self._kept, self._written = kept, -1
        self._parts: dict[int, dict[str, Any]] = {}
        self.lost = 0

    def __enter__(self) -> DemoBag:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_all_but(0)
        if self._connections:  # after an error too: what is written so far can be opened
            self._writer.close()

    def add(self, part: str, stamp: int, message: Any) -> None:
        """Take a part of a frame, in any order, and write the frame when its last part has come.
        More complete descriptions of the frame that was written last follow it.
        """
        if part == "descriptions" and stamp == self._written:
            self.write(descriptions=message)
            return
        parts = self._parts.setdefault(stamp, {})
        parts[part] = message
        if parts.keys() == _TOPICS.keys():
            self.write(**self._parts.pop(stamp))
            self._written = stamp
        self._forget_all_but(self._kept)

    def write(self, **parts: Any) -> None:
        """Write parts of a frame, all logged at the time of this call."""
        if not self._connections:
            self._writer.open()
            types = typestore()
            self._connections = {
                part: self._writer.add_connection(topic, kind, typestore=types)
                for part, (topic, kind) in _TOPICS.items()
            }
        now = time.time_ns()
        for part, connection in self._connections.items():
            if part in parts:
                self._writer.write(connection, now, serialize_message(parts[part]))

    def _forget_all_but(self, kept: int) -> None:
        while len(self._parts) > kept:
            self.lost += "descriptions" in self._parts.pop(min(self._parts))
