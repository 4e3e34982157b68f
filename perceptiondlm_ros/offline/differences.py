"""What metadata.yaml says of a bag that is not so in its files, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from perceptiondlm_ros.offline.bag_files import bare
from perceptiondlm_ros.offline.metadata import FILE, Stated, StatedTopic, profiles
from perceptiondlm_ros.offline.storage import Connection


def differences(
    stated: Stated,
    kind: str,
    compression_mode: str,
    counts: Mapping[str, int],
    connections: Sequence[Connection],
) -> Iterator[str]:
    """What differs.

    Args:
        kind, compression_mode: of the files, as in `Bag`.
        counts: messages in each file.
        connections: of all files.
    """
    held = sum(connection.msgcount for connection in connections)
    if stated.storage != kind:
        yield f"{FILE} says that its storage is {stated.storage}; its files are {kind}"
    if stated.compression_mode != compression_mode and held:
        yield (
            f"{FILE} says compression_mode {stated.compression_mode!r}; by its files it is "
            f"{compression_mode!r}"
        )
    if held and not stated.count and not any(entry.count for entry in stated.topics):
        yield (
            f"its files hold {held} messages; {FILE} counts none, as before the end of a "
            "recording; `ros2 bag reindex` counts them"
        )
    else:
        yield from _of_files(stated, {bare(name): count for name, count in counts.items()})
        if stated.count != held:
            yield f"its files hold {held} messages; {FILE} counts {stated.count}"
        yield from _of_topics(stated, connections)
    for topic in sorted({entry.topic for entry in stated.topics}):
        there = [connection for connection in connections if connection.topic == topic]
        told = [entry for entry in stated.topics if entry.topic == topic]
        yield from _of_offers(topic, there, told)


def _of_files(stated: Stated, counts: Mapping[str, int]) -> Iterator[str]:
    listed = set(map(bare, stated.files))
    for name, counted in stated.counts.items():  # some recorders leave out .zstd here
        if bare(name) not in listed:
            yield f"{name}: {FILE} counts its messages and doesn't list it"
        elif counts.get(bare(name), counted) != counted:
            yield f"{name}: it holds {counts[bare(name)]} messages; {FILE} counts {counted}"


def _of_topics(stated: Stated, connections: Sequence[Connection]) -> Iterator[str]:
    held, counted = Counter[str](), Counter[str]()
    for connection in connections:
        held[connection.topic] += connection.msgcount
    for entry in stated.topics:
        counted[entry.topic] += entry.count
    for topic in sorted({*held, *counted}):
        if held[topic] != counted[topic]:
            yield f"{topic}: the files hold {held[topic]} messages; {FILE} counts {counted[topic]}"


def _of_offers(topic: str, there: list[Connection], told: list[StatedTopic]) -> Iterator[str]:
    for what, held, said in (
        ("type", {c.msgtype for c in there}, {e.msgtype for e in told}),
        ("serialization_format", {c.encoding for c in there}, {e.encoding for e in told}),
        ("type_description_hash", {c.digest for c in there}, {e.digest for e in told}),
        ("offered_qos_profiles", {_qos(c) for c in there}, {str(e.qos) for e in told}),
    ):
        unsaid = {"", "[]"}  # older recorders don't tell everything in both places
        if (held := held - unsaid) and (said := said - unsaid) and held != said:
            yield (
                f"{topic}: {FILE} says {what} {', '.join(sorted(said))}; by its files it is "
                f"{', '.join(sorted(held))}"
            )


def _qos(connection: Connection) -> str:
    try:
        return str(profiles(connection.qos))
    except ValueError:
        return ""  # told when the bag was opened
