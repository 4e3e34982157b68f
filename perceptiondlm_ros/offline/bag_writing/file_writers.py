"""Writes the one file of a new bag, MCAP or SQLite.

Both have the same methods. Without `finish` what is there is not a whole file.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, TypeAlias

from mcap.records import Metadata
from mcap.writer import CompressionType, Writer

from perceptiondlm_ros.offline.bag_reading.mcap_reader import RECORDERS_METADATA
from perceptiondlm_ros.offline.bag_reading.metadata import WRITTEN
from perceptiondlm_ros.offline.bag_reading.stored import (
    Connection,
    Definition,
    Extra,
    StoredMessage,
)

_CHUNKS: Final = {
    "": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}
_SCHEMA: Final = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(
  id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(
  id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
  encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
  data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema VALUES (4, 'unknown');
"""
"""As rosbag2 of Iron and newer makes it."""


class McapWriter:
    """An MCAP file that is written.

    Args:
        compression: of the chunks, "", "lz4" or "zstd".
    """

    def __init__(self, path: Path, compression: str) -> None:
        self.path = path
        self._file = path.open("xb")
        self._writer = Writer(self._file, compression=_CHUNKS[compression])
        self._writer.start(profile="ros2", library="perceptiondlm_ros")
        self._schemas: dict[tuple[str, Definition], int] = {}

    def add(self, connection: Connection) -> int:
        """Declare a connection, and return the number that messages have to name."""
        metadata = dict(connection.metadata)
        if connection.qos:
            metadata["offered_qos_profiles"] = connection.qos
        if connection.digest:
            metadata["topic_type_hash"] = connection.digest
        kind, definition = connection.msgtype, connection.definition
        if definition and (kind, definition) not in self._schemas:
            number = self._writer.register_schema(kind, definition.encoding, definition.data)
            self._schemas[kind, definition] = number
        schema = self._schemas[kind, definition] if definition else 0
        return self._writer.register_channel(
            connection.topic, connection.encoding, schema, metadata
        )

    def write(self, message: StoredMessage) -> None:
        self._writer.add_message(
            message.connection, message.log_ns, message.data, message.publish_ns, message.sequence
        )

    def write_extra(self, extra: Extra) -> None:
        if isinstance(extra, Metadata):
            self._writer.add_metadata(extra.name, extra.metadata)
        else:
            self._writer.add_attachment(**vars(extra))

    def finish(self, metadata: str) -> None:
        """Write what belongs at the end, with the contents of metadata.yaml."""
        self._writer.add_metadata(RECORDERS_METADATA, {"serialized_metadata": metadata})
        self._writer.finish()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._file.close()


class SqliteWriter:
    """An SQLite file that is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = sqlite3.connect(path)
        self._database.executescript(_SCHEMA)
        self._topics = 0
        self._definitions: set[tuple[str, Definition]] = set()

    def add(self, connection: Connection) -> int:
        self._topics += 1
        self._database.execute(
            "INSERT INTO topics VALUES(?, ?, ?, ?, ?, ?)",
            (self._topics, connection.topic, connection.msgtype, connection.encoding)
            + (connection.qos, connection.digest),
        )
        definition = connection.definition
        if definition and (connection.msgtype, definition) not in self._definitions:
            self._definitions.add((connection.msgtype, definition))
            self._database.execute(
                "INSERT INTO message_definitions(topic_type, encoding, encoded_message_definition, "
                "type_description_hash) VALUES(?, ?, ?, ?)",
                (connection.msgtype, definition.encoding, definition.data.decode())
                + (connection.digest,),
            )
        return self._topics

    def write(self, message: StoredMessage) -> None:
        self._database.execute(
            "INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)",
            (message.connection, message.log_ns, message.data),
        )

    def write_extra(self, extra: Extra) -> None:
        raise NotImplementedError("only MCAP files have attachments and metadata")

    def finish(self, metadata: str) -> None:
        self._database.execute(
            "INSERT INTO metadata(metadata_version, metadata) VALUES(?, ?)", (WRITTEN, metadata)
        )
        self._database.commit()

    def close(self) -> None:
        self._database.close()


FileWriter: TypeAlias = McapWriter | SqliteWriter
