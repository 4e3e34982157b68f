"""Writes the bag with captions: everything that was in the first one, and the descriptions."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import zstandard
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline import metadata
from perceptiondlm_ros.offline.bag import Bag
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, type_hash
from perceptiondlm_ros.offline.journal import Described
from perceptiondlm_ros.offline.storage import CDR, Connection, Definition, Record
from perceptiondlm_ros.offline.storage_writers import McapWriter, SqliteWriter, StorageWriter

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
    bag: Bag,
    path: Path,
    topic: str,
    described: Iterable[Described],
    store: Typestore,
    progress: Callable[[int], object] = lambda copied: None,
) -> None:
    """Write a bag of the same kind of storage and compression.

    Args:
        path: the bag's folder, which must not exist yet.
        topic: of the descriptions.
        described: in the order of their log times; taken one by one, so that none is kept.
        progress: called with 1 for each message that was copied.

    Raises:
        InputError: the first bag is damaged, or was changed since it was opened.
        OSError: the new one can't be written.
    """
    try:
        _write(bag, path, topic, described, store, progress)
    except sqlite3.Error as error:  # no space is left, for instance
        raise OSError(f"{path}: {error}") from error


def _write(
    bag: Bag,
    path: Path,
    topic: str,
    described: Iterable[Described],
    store: Typestore,
    progress: Callable[[int], object],
) -> None:
    path.mkdir(parents=True)
    offers = [_completed(connection, store) for connection in bag.connections]
    offers.append(_descriptions(topic, store))
    counts: Counter[int] = Counter()
    first_ns, last_ns = 0, 0
    writer = _writer(bag, path)
    with closing(writer):
        numbers = {offer.id: writer.add(_as_recorded(bag, offer)) for offer in offers}
        for record in _records(bag, described, progress):
            first_ns = min(first_ns, record.log_ns) if counts else record.log_ns
            last_ns = max(last_ns, record.log_ns) if counts else record.log_ns
            counts[record.connection] += 1
            writer.write(record._replace(connection=numbers[record.connection]))
        _check_counts(bag, counts)
        for extra in bag.extras():
            writer.write_extra(extra)
        packed = f"{writer.path.name}.zstd"
        told = metadata.metadata_text(
            bag.kind,
            packed if bag.compression_mode == "file" else writer.path.name,
            [(offer, counts[offer.id]) for offer in offers],
            first_ns,
            last_ns,
            bag.compression_mode,
        )
        writer.finish(metadata.WRITTEN, told)
    if bag.compression_mode == "file":
        _pack(writer.path, path / packed)
    (path / metadata.FILE).write_text(told, "utf-8")


def _writer(bag: Bag, path: Path) -> StorageWriter:
    if bag.kind == "mcap":
        return McapWriter(path / f"{path.name}.mcap", bag.chunk_compression)
    return SqliteWriter(path / f"{path.name}.db3")


def _records(
    bag: Bag, described: Iterable[Described], progress: Callable[[int], object]
) -> Iterator[Record]:
    """Everything, with each frame's descriptions after the messages of its log time."""
    waiting = iter(described)
    frame = next(waiting, None)
    by_message = bag.compression_mode == "message"  # as the others are stored already

    def until(log_ns: float) -> Iterator[Record]:
        nonlocal frame
        while frame is not None and frame.log_ns < log_ns:
            data = zstandard.compress(frame.message) if by_message else frame.message
            yield Record(_DESCRIPTIONS, frame.log_ns, data, frame.log_ns)
            frame = next(waiting, None)

    for _, record in bag.records():
        yield from until(record.log_ns)
        yield record
        progress(1)
    yield from until(float("inf"))


def _check_counts(bag: Bag, counts: Counter[int]) -> None:
    for connection in bag.connections:
        if counts[connection.id] != connection.msgcount:
            raise InputError(
                f"bag {bag.path}: {connection.topic}: {counts[connection.id]} messages were "
                f"copied of {connection.msgcount}: the bag was changed while it was read"
            )


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
    definition, digest = connection.definition, connection.digest or type_hash(connection)
    if connection.msgtype in store.types:
        if definition is None or not definition.data:  # bags of Humble in SQLite have none
            definition = _definition(connection.msgtype, store)
        digest = digest or store.hash_rihs01(connection.msgtype)
    try:
        qos = metadata.qos_text(connection.qos)
    except ValueError:
        qos = ""  # told when the bag was opened
    return replace(connection, definition=definition, digest=digest, qos=qos)


def _as_recorded(bag: Bag, offer: Connection) -> Connection:
    """Without the hash that an MCAP channel doesn't have; in SQLite it has a column of its own."""
    digests = {connection.id: connection.digest for connection in bag.connections}
    if bag.kind != "mcap":
        return offer
    return replace(offer, digest=digests.get(offer.id, offer.digest))


def _definition(kind: str, store: Typestore) -> Definition:
    return Definition("ros2msg", store.generate_msgdef(kind, ros_version=2)[0].encode())


def _pack(plain: Path, packed: Path) -> None:
    with plain.open("rb") as source, packed.open("xb") as target:
        zstandard.ZstdCompressor().copy_stream(source, target, size=plain.stat().st_size)
    plain.unlink()
