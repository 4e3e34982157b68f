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
    path: its folder, which must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        # Chunks are compressed inside the MCAP file, which every reader of MCAP undoes by itself.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> DemoBag:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connections:  # after an error too: what is written so far can be opened
            self._writer.close()

    def write(self, **parts: Any) -> None:
        """Write the parts of a frame, or more complete descriptions of one that was written.

        All are logged at the time of this call.
        """
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


class FrameJoiner:
    """Brings together the parts of a frame by their stamp, whichever comes first.

    kept: stamps remembered. Older ones are forgotten; where what is forgotten had descriptions, it
    is counted in `lost`.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._parts: dict[int, dict[str, Any]] = {}
        self.lost = 0

    def add(self, part: str, stamp: int, message: object) -> dict[str, Any] | None:
        """Return all parts of this stamp, once, when the last of them has come."""
        parts = self._parts.setdefault(stamp, {})
        parts[part] = message
        if parts.keys() == _TOPICS.keys():
            return self._parts.pop(stamp)
        while len(self._parts) > self._kept:
            self._forget(min(self._parts))
        return None

    def close(self) -> None:
        """Forget all stamps."""
        for stamp in list(self._parts):
            self._forget(stamp)

    def _forget(self, stamp: int) -> None:
        self.lost += "descriptions" in self._parts.pop(stamp)
