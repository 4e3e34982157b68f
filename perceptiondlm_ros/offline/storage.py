"""What the files of a bag have in common, whatever their kind: topics, messages, their order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

CDR: Final = "cdr"
"""The encoding of ROS 2 messages."""

ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""What everything that is compressed with Zstandard begins with; no CDR does."""

_FORMATS: Final = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}


@dataclass(frozen=True)
class Definition:
    """A schema: how it is written (ros2msg, jsonschema, ...), and its text or bytes."""

    encoding: str
    data: bytes


@dataclass(frozen=True)
class Connection:
    """A topic as one publisher offered it.

    encoding: of its messages; only "cdr" is read here, others are copied.
    definition: of its type; None where the file has none.
    digest: RIHS01 hash of the type; empty where the file has none.
    qos: offered profiles as YAML. metadata: what an MCAP channel says beside that.
    """

    id: int
    topic: str
    msgtype: str
    encoding: str = CDR
    definition: Definition | None = None
    digest: str = ""
    qos: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    msgcount: int = field(default=0, compare=False)

    @property
    def msgdef(self) -> MessageDefinition:
        kind = _FORMATS.get(self.definition.encoding) if self.definition else None
        if kind is not None and self.definition is not None:
            try:
                return MessageDefinition(kind, self.definition.data.decode())
            except UnicodeDecodeError:
                pass  # as good as none
        return MessageDefinition(MessageDefinitionFormat.NONE, "")

    @property
    def offer(self) -> Connection:
        """The same for all connections that differ in their ids only."""
        return replace(self, id=0)


class Record(NamedTuple):
    """A message as it is stored. connection: its id. Times are in ns."""

    connection: int
    log_ns: int
    data: bytes
    publish_ns: int
    sequence: int = 0


class Attachment(NamedTuple):
    """A file inside an MCAP file."""

    log_ns: int
    create_ns: int
    name: str
    media_type: str
    data: bytes


class Notes(NamedTuple):
    """A metadata record of an MCAP file."""

    name: str
    values: dict[str, str]


class StoredFile(Protocol):
    """One file of a bag, open.

    lacking: what of it can't be read, a sentence each. notes: what else is to be told.
    compression: of an MCAP file's chunks: "", "lz4" or "zstd".
    start_ns, end_ns: log times of the first and the last message; without any 0.
    """

    kind: str
    lacking: list[str]
    notes: list[str]
    connections: list[Connection]
    compression: str
    start_ns: int
    end_ns: int

    def records(self, wanted: Collection[int], start: int | None = None) -> Iterator[Record]:
        """Messages of the wanted connections from a log time in ns on, in the order of these."""
        ...

    def extras(self) -> Iterator[Attachment | Notes]:
        """What an MCAP file holds beside messages, but for the recorder's own notes."""
        ...


def merged(sources: Iterable[tuple[int, Callable[[], Iterable[Record]]]]) -> Iterator[Record]:
    """All records in the order of their log times; those of one time in the order of the sources.

    Args:
        sources: for each the log time before which it has nothing, and what opens it. None is
            opened before its time, so that only those that overlap are in memory together.
    """
    waiting = sorted(enumerate(sources), key=lambda source: source[1][0])
    waiting.reverse()
    heads: list[tuple[int, int, Record, Iterator[Record]]] = []

    def advance(number: int, source: Iterator[Record]) -> None:
        record = next(source, None)
        if record is not None:
            heapq.heappush(heads, (record.log_ns, number, record, source))

    while waiting or heads:
        while waiting and (not heads or waiting[-1][1][0] <= heads[0][0]):
            number, (_, begin) = waiting.pop()
            advance(number, iter(begin()))
        if heads:
            _, number, record, source = heapq.heappop(heads)
            yield record
            advance(number, source)


def in_order(records: list[Record]) -> list[Record]:
    """Sorted by log time; those of one time stay as they are."""
    return sorted(records, key=itemgetter(1))
