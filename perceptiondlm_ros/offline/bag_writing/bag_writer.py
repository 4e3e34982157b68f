"""Writes the bag with captions: everything that was in the first one, and the descriptions."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Final

import zstandard
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading import metadata
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.bag_reading.stored import (
    CDR,
    Connection,
    Definition,
    StoredMessage,
)
from perceptiondlm_ros.offline.bag_writing.file_writers import FileWriter, McapWriter, SqliteWriter
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, type_hash
from perceptiondlm_ros.offline.journal import CaptionedFrame

_DESCRIPTIONS: Final = 0
"""Number of their connection, which no other has."""

_LATCHED: Final = """\
- history: 1
  depth: 1
  reliability: 1
  durability: 1
  deadline: {sec: 0, nsec: 0}
  lifespan: {sec: 0, nsec: 0}
  liveliness: 1
  liveliness_lease_duration: {sec: 0, nsec: 0}
  avoid_ros_namespace_conventions: false"""
"""As the node offers its descriptions."""


def write_bag(
    bag: BagReader,
    path: Path,
    topic: str,
    captioned: Iterable[CaptionedFrame],
    store: Typestore,
    step: Callable[[int], object] = lambda copied: None,
) -> None:
    """Write a bag of the same kind of storage and compression.

    Args:
        path: the bag's folder, which must not exist yet.
        topic: of the descriptions.
        captioned: in the order of their log times; taken one by one, so that none is kept.
        step: called with 1 for each message that was copied.

    Raises:
        InputError: the first bag is damaged, or was changed since it was opened.
        OSError: the new one can't be written.
    """
    path.mkdir(parents=True)
    writer: FileWriter
    try:
        if bag.kind == "mcap":
            writer = McapWriter(path / f"{path.name}.mcap", bag.chunk_compression)
        else:
            writer = SqliteWriter(path / f"{path.name}.db3")
        with closing(writer):
            offers = [_completed(connection, store) for connection in bag.connections]
            offers.append(_descriptions(topic, store))
            told = _write(bag, writer, offers, _in_order(bag, captioned, step))
    except sqlite3.Error as error:  # no space is left, for instance
        raise OSError(f"{path}: {error}") from error
    if bag.compression_mode == "file":
        _pack(writer.path)
    (path / metadata.FILE).write_text(told, "utf-8")


def _write(
    bag: BagReader,
    writer: FileWriter,
    offers: list[Connection],
    messages: Iterator[StoredMessage],
) -> str:
    """Write the file, and return the contents of its metadata.yaml."""
    digests = {connection.id: connection.digest for connection in bag.connections}
    ids: dict[int, int] = {}
    for offer in offers:
        # A hash that an MCAP channel doesn't have stays away; in SQLite it has its own column.
        kept = digests.get(offer.id, offer.digest) if bag.kind == "mcap" else offer.digest
        ids[offer.id] = writer.add(replace(offer, digest=kept))
    counts: Counter[int] = Counter()
    first_ns = last_ns = 0
    for message in messages:
        last_ns = message.log_ns
        first_ns = first_ns if counts else last_ns
        counts[message.connection] += 1
        writer.write(message._replace(connection=ids[message.connection]))
    for connection in bag.connections:
        if counts[connection.id] != connection.msgcount:
            raise InputError(
                f"bag {bag.path}: {connection.topic}: {counts[connection.id]} messages were "
                f"copied of {connection.msgcount}: the bag was changed while it was read"
            )
    for extra in bag.extras():
        writer.write_extra(extra)
    told = metadata.metadata_text(
        bag.kind,
        _packed(writer.path).name if bag.compression_mode == "file" else writer.path.name,
        [replace(offer, msgcount=counts[offer.id]) for offer in offers],
        first_ns,
        last_ns,
        bag.compression_mode,
    )
    writer.finish(told)
    return told


def _in_order(
    bag: BagReader, captioned: Iterable[CaptionedFrame], step: Callable[[int], object]
) -> Iterator[StoredMessage]:
    """Everything, with each frame's descriptions after the messages of its log time."""
    by_message = bag.compression_mode == "message"  # as the others are stored already

    def copied() -> Iterator[StoredMessage]:
        for _, message in bag.messages():
            yield message
            step(1)

    def described() -> Iterator[StoredMessage]:
        for frame in captioned:
            data = zstandard.compress(frame.message) if by_message else frame.message
            yield StoredMessage(_DESCRIPTIONS, frame.log_ns, data, frame.log_ns)

    return merge(copied(), described(), key=attrgetter("log_ns"))


def _descriptions(topic: str, store: Typestore) -> Connection:
    return Connection(
        id=_DESCRIPTIONS,
        topic=topic,
        msgtype=DESCRIPTIONS,
        definition=_definition(DESCRIPTIONS, store),
        digest=store.hash_rihs01(DESCRIPTIONS),
        qos=_LATCHED,
    )


def _completed(connection: Connection, store: Typestore) -> Connection:
    """With what is known of a ROS type, where the bag doesn't tell; others stay as they are."""
    if connection.encoding != CDR:
        return connection
    definition, digest = connection.definition, type_hash(connection)
    if connection.msgtype in store.types:
        if definition is None or not definition.data:  # bags of Humble in SQLite have none
            definition = _definition(connection.msgtype, store)
        digest = digest or store.hash_rihs01(connection.msgtype)
    return replace(connection, definition=definition, digest=digest)


def _definition(kind: str, store: Typestore) -> Definition:
    return Definition("ros2msg", store.generate_msgdef(kind, ros_version=2)[0].encode())


def _packed(plain: Path) -> Path:
    return plain.with_name(f"{plain.name}.zstd")


def _pack(plain: Path) -> None:
    with plain.open("rb") as source, _packed(plain).open("xb") as target:
        zstandard.ZstdCompressor().copy_stream(source, target, size=plain.stat().st_size)
    plain.unlink()
