"""What metadata.yaml says of a bag that is not so in its files, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from perceptiondlm_ros.offline.bag_reading.bag_files import plain_name
from perceptiondlm_ros.offline.bag_reading.metadata import FILE, StatedBag, StatedTopic, profiles
from perceptiondlm_ros.offline.bag_reading.stored import Connection


def differences(
    stated: StatedBag,
    kind: str,
    compression_mode: str,
    counts: Mapping[str, int],
    connections: Collection[Connection],
) -> Iterator[str]:
    """What differs.

    Args:
        kind, compression_mode: of the files, as in `BagReader`.
        counts: messages in each file.
        connections: of all files.
    """
    held, entries = sum(counts.values()), stated.topics_with_message_count
    if stated.storage_identifier != kind:
        yield f"{FILE} says that its storage is {stated.storage_identifier}; its files are {kind}"
    if stated.compression_mode != compression_mode and held:
        yield (
            f"{FILE} says compression_mode {stated.compression_mode!r}; by its files it is "
            f"{compression_mode!r}"
        )
    if held and not stated.message_count and not any(entry.message_count for entry in entries):
        yield (
            f"its files hold {held} messages; {FILE} counts none, as before the end of a "
            "recording; `ros2 bag reindex` counts them"
        )
    else:
        yield from _of_files(stated, {plain_name(name): count for name, count in counts.items()})
        if stated.message_count != held:
            yield f"its files hold {held} messages; {FILE} counts {stated.message_count}"
        there = _summed((c.topic, c.msgcount) for c in connections)
        counted = _summed((e.topic_metadata.name, e.message_count) for e in entries)
        for topic in sorted({*there, *counted}):
            if there[topic] != counted[topic]:
                yield (
                    f"{topic}: the files hold {there[topic]} messages; {FILE} counts "
                    f"{counted[topic]}"
                )
    for topic in sorted({entry.topic_metadata.name for entry in entries}):
        yield from _of_offers(
            topic,
            [connection for connection in connections if connection.topic == topic],
            [entry.topic_metadata for entry in entries if entry.topic_metadata.name == topic],
        )


def _of_files(stated: StatedBag, counts: Mapping[str, int]) -> Iterator[str]:
    listed = set(map(plain_name, stated.relative_file_paths))
    for file in stated.files or ():  # some recorders leave out .zstd here
        name, counted = PurePath(file.path).name, file.message_count
        if plain_name(name) not in listed:
            yield f"{name}: {FILE} counts its messages and doesn't list it"
        elif counts.get(plain_name(name), counted) != counted:
            yield f"{name}: it holds {counts[plain_name(name)]} messages; {FILE} counts {counted}"


def _summed(counted: Iterable[tuple[str, int]]) -> Counter[str]:
    counts = Counter[str]()
    for topic, number in counted:
        counts[topic] += number
    return counts


def _of_offers(topic: str, there: list[Connection], told: list[StatedTopic]) -> Iterator[str]:
    unsaid = {"", "[]"}  # older recorders don't tell everything in both places
    for what, attribute in (
        ("type", "msgtype"),
        ("serialization_format", "encoding"),
        ("type_description_hash", "digest"),
        ("offered_qos_profiles", "qos"),
    ):
        read = _qos if attribute == "qos" else str
        held = {read(getattr(connection, attribute)) for connection in there} - unsaid
        said = {read(getattr(entry, what) or "") for entry in told} - unsaid
        if held and said and held != said:
            yield (
                f"{topic}: {FILE} says {what} {', '.join(sorted(said))}; by its files it is "
                f"{', '.join(sorted(held))}"
            )


def _qos(said: str | list[Any]) -> str:
    try:
        return str(profiles(said))
    except ValueError:
        return ""  # of an encoding that is not ROS 2's
