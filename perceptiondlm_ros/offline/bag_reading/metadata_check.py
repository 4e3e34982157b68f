"""What metadata.yaml says of a bag that is not so in its files, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from perceptiondlm_ros.offline.bag_reading.bag_files import plain_name
from perceptiondlm_ros.offline.bag_reading.metadata import FILE, StatedBag, profiles
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
    held = sum(counts.values())
    if stated.storage != kind:
        yield f"{FILE} says that its storage is {stated.storage}; its files are {kind}"
    if stated.compression_mode != compression_mode and held:
        yield (
            f"{FILE} says compression_mode {stated.compression_mode!r}; by its files it is "
            f"{compression_mode!r}"
        )
    if held and not stated.count and not any(entry.msgcount for entry in stated.topics):
        yield (
            f"its files hold {held} messages; {FILE} counts none, as before the end of a "
            "recording; `ros2 bag reindex` counts them"
        )
    else:
        yield from _of_files(stated, {plain_name(name): count for name, count in counts.items()})
        if stated.count != held:
            yield f"its files hold {held} messages; {FILE} counts {stated.count}"
        counted, there = _by_topic(stated.topics), _by_topic(connections)
        for topic in sorted({*there, *counted}):
            if there[topic] != counted[topic]:
                yield (
                    f"{topic}: the files hold {there[topic]} messages; {FILE} counts "
                    f"{counted[topic]}"
                )
    for topic in sorted({entry.topic for entry in stated.topics}):
        yield from _of_offers(
            topic,
            [connection for connection in connections if connection.topic == topic],
            [entry for entry in stated.topics if entry.topic == topic],
        )


def _of_files(stated: StatedBag, counts: Mapping[str, int]) -> Iterator[str]:
    listed = set(map(plain_name, stated.files))
    for name, counted in stated.counts.items():  # some recorders leave out .zstd here
        if plain_name(name) not in listed:
            yield f"{name}: {FILE} counts its messages and doesn't list it"
        elif counts.get(plain_name(name), counted) != counted:
            yield f"{name}: it holds {counts[plain_name(name)]} messages; {FILE} counts {counted}"


def _by_topic(connections: Collection[Connection]) -> Counter[str]:
    counts = Counter[str]()
    for connection in connections:
        counts[connection.topic] += connection.msgcount
    return counts


def _of_offers(topic: str, there: list[Connection], told: list[Connection]) -> Iterator[str]:
    for what, read in (
        ("type", lambda connection: connection.msgtype),
        ("serialization_format", lambda connection: connection.encoding),
        ("type_description_hash", lambda connection: connection.digest),
        ("offered_qos_profiles", _qos),
    ):
        unsaid = {"", "[]"}  # older recorders don't tell everything in both places
        held, said = set(map(read, there)) - unsaid, set(map(read, told)) - unsaid
        if held and said and held != said:
            yield (
                f"{topic}: {FILE} says {what} {', '.join(sorted(said))}; by its files it is "
                f"{', '.join(sorted(held))}"
            )


def _qos(connection: Connection) -> str:
    try:
        return str(profiles(connection.qos))
    except ValueError:
        return ""  # of an encoding that is not ROS 2's
