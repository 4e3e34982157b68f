"""Writes the bag with captions: everything that was in the first one, and the descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, cast

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.offline.definitions import DESCRIPTIONS
from perceptiondlm_ros.offline.journal import Described
from perceptiondlm_ros.offline.reading import messages, type_hash

VERSION: Final[Literal[8]] = 8
"""Of the metadata: the newest in which quality of service has the form that Humble reads."""

_ANY: Final = QosTime(0, 0)
_LATCHED: Final = Qos(
    history=QosHistory.KEEP_LAST,
    depth=1,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_ANY,
    lifespan=_ANY,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_ANY,
    avoid_ros_namespace_conventions=False,
)
"""As the node offers its descriptions."""

_UNKNOWN_HASH: Final = "RIHS01_" + 64 * "0"


def write_bag(
    reader: Reader,
    path: Path,
    topic: str,
    described: Iterable[Described],
    store: Typestore,
    progress: Callable[[int], object] = lambda copied: None,
) -> StoragePlugin:
    """Write a bag of the reader's kind of storage, and return that kind.

    Args:
        path: the bag's folder, which must not exist yet.
        topic: of the descriptions.
        progress: called with 1 for each message that was copied.
    """
    kind = storage_kind(reader)
    writer = Writer(path, version=VERSION, storage_plugin=kind)
    writer.set_compression(*_compression(reader))
    waiting = sorted(described, key=lambda frame: frame.log_ns)
    waiting.reverse()
    with writer:
        copies = _copy_connections(reader, writer, store)
        added = writer.add_connection(
            topic, DESCRIPTIONS, typestore=store, offered_qos_profiles=[_LATCHED]
        )
        for connection, log_ns, data in messages(reader):
            while waiting and waiting[-1].log_ns < log_ns:
                frame = waiting.pop()
                writer.write(added, frame.log_ns, frame.message)
            writer.write(copies[connection.id], log_ns, data)
            progress(1)
        while waiting:
            frame = waiting.pop()
            writer.write(added, frame.log_ns, frame.message)
    return kind


def storage_kind(reader: Reader) -> StoragePlugin:
    """The kind of storage of an open bag."""
    return (
        StoragePlugin.MCAP if isinstance(_first_file(reader), McapReader) else StoragePlugin.SQLITE3
    )


def _first_file(reader: Reader) -> object:
    whole = reader.storage
    return whole.storages[0] if isinstance(whole, DirectoryReader) else whole


def _compression(reader: Reader) -> tuple[CompressionMode, CompressionFormat]:
    if reader.compression_mode:
        return CompressionMode[reader.compression_mode.upper()], CompressionFormat.ZSTD
    file = _first_file(reader)
    if isinstance(file, McapReader) and any(chunk.compression for chunk in file.chunks):
        return CompressionMode.STORAGE, CompressionFormat.ZSTD
    return CompressionMode.NONE, CompressionFormat.ZSTD


def _copy_connections(reader: Reader, writer: Writer, store: Typestore) -> dict[int, Connection]:
    """The writer's connection for each of the reader's, by id."""
    copies: dict[int, Connection] = {}
    known: dict[tuple[str, str, str], Connection] = {}
    for connection in reader.connections:
        details = cast(ConnectionExtRosbag2, connection.ext)
        key = (connection.topic, connection.msgtype, repr(details))
        if key not in known:  # several publishers of a topic may have one each
            known[key] = writer.add_connection(
                connection.topic,
                connection.msgtype,
                msgdef=_definition(connection, store),
                rihs01=type_hash(connection) or _known_hash(connection, store),
                serialization_format=details.serialization_format,
                offered_qos_profiles=details.offered_qos_profiles,
            )
        copies[connection.id] = known[key]
    return copies


def _definition(connection: Connection, store: Typestore) -> str:
    if connection.msgdef.format != MessageDefinitionFormat.NONE:
        return connection.msgdef.data
    if connection.msgtype in store.types:  # bags of Humble in SQLite have none
        return store.generate_msgdef(connection.msgtype, ros_version=2)[0]
    return ""


def _known_hash(connection: Connection, store: Typestore) -> str:
    return (
        store.hash_rihs01(connection.msgtype)
        if connection.msgtype in store.types
        else _UNKNOWN_HASH
    )
