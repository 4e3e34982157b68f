"""What the files of a bag have in common, whatever their kind: topics, messages, their order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import starmap
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from mcap.records import Attachment, Metadata

CDR: Final = "cdr"
"""The encoding of ROS 2 messages."""

ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""What everything that is compressed with Zstandard begins with; no CDR does."""

Extra: TypeAlias = Attachment | Metadata
"""A file, or named texts, inside an MCAP file."""


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
    def offer(self) -> Connection:
        """The same for all connections that differ in their ids only."""
        return replace(self, id=0)


class StoredMessage(NamedTuple):
    """A message as it is stored. connection: its id. Times are in ns."""

    connection: int
    log_ns: int
    data: bytes
    publish_ns: int
    sequence: int = 0


def merged(
    sources: Iterable[tuple[int, Callable[[], Iterable[StoredMessage]]]],
) -> Iterator[StoredMessage]:
    """All messages in the order of their log times; those of one time in the order of the sources.

    Args:
        sources: for each the log time before which it has nothing, and what opens it. None is
            opened before its time, so that only those that overlap are in memory together.
    """

    def opened_late(start: int, source: Callable[[], Iterable[StoredMessage]]) -> Any:
        yield start, None  # takes the place of the source until its time has come
        for message in source():
            yield message.log_ns, message

    in_order = heapq.merge(*starmap(opened_late, sources), key=itemgetter(0))
    return (message for _, message in in_order if message is not None)
