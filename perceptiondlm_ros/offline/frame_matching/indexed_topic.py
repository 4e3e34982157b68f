"""A topic of a bag whose messages can be read in any order, without keeping them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.bag_reading.stored import Connection, StoredMessage
from perceptiondlm_ros.offline.decoding import DamagedMessageError, Decoder, stamp_of
from perceptiondlm_ros.offline.frame_matching.stamp_index import LATEST, StampIndex

_NAMED: Final = 10
"""Unreadable messages of a topic that are named; the others are counted."""

_READ_PAST: Final = 32
"""From so many messages on it takes longer to read past them than to look for the one behind."""

_KEPT: Final = 4
"""Messages that were read last: frames one after the other may share theirs."""


@dataclass
class Unreadable:
    """Messages of a topic that can't be decoded. named: the first ones, and what is wrong."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, message: StoredMessage, error: Exception) -> None:
        self.count += 1
        if len(self.named) < _NAMED:
            stamp = stamp_of(message.data)
            seconds, nanoseconds = divmod(message.log_ns, 10**9) if stamp is None else stamp
            when = "logged at" if stamp is None else "at"
            self.named.append(f"{when} {seconds}.{nanoseconds:09}: {error}")

    def told(self, topic: str) -> str:
        """All of it in a line."""
        messages = "1 message" if self.count == 1 else f"{self.count} messages"
        more = self.count - len(self.named)
        first = "; ".join(self.named + ([f"and {more} more"] if more else []))
        return f"{messages} of {topic} could not be read: {first}"


class IndexedTopic:
    """A topic: first `add` all of its messages in the order of the bag, then `read` them.

    index: see there; a message's place is its number in the topic.
    """

    def __init__(self, bag: BagReader, connections: Sequence[Connection], decoder: Decoder) -> None:
        self.index = StampIndex()
        self.unreadable = Unreadable()
        self.connections = connections
        self._bag = bag
        self._decoder = decoder
        self._kept: dict[int, Any] = {}
        self._source: Iterator[tuple[Connection, StoredMessage]] | None = None
        self._next = 0  # place of what the source gives next

    def add(self, connection: Connection, stored: StoredMessage) -> None:
        """The next message: remember where it is. What can't be decoded is counted."""
        try:
            message = self._decoder.decode(stored.data, connection.msgtype)
        except DamagedMessageError as error:
            self.index.add(None, stored.log_ns)
            self.unreadable.add(stored, error)
        else:
            self.index.add(nanoseconds(message.header.stamp), stored.log_ns)

    def read(self, place: int) -> Any:
        """The message of a place.

        Raises:
            InputError: the bag is damaged, or not as it was when the message was added.
        """
        if place not in self._kept:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[place] = self._found(place)
        return self._kept[place]

    def _found(self, place: int) -> Any:
        for connection, stored in self._source_before(place):
            self._next += 1
            if self._next <= place:
                continue
            if min(stored.log_ns, LATEST) == self.index.logs[place]:
                message = self._decoder.decode(stored.data, connection.msgtype)
                if nanoseconds(message.header.stamp) == self.index.stamps[place]:
                    return message
            break
        raise InputError(
            f"bag {self._bag.path}: it is not what it was when it was read before; is it still "
            "being recorded?"
        )

    def _source_before(self, place: int) -> Iterator[tuple[Connection, StoredMessage]]:
        """Messages from `_next` on, which is this place or not far before it."""
        if self._source is None or not 0 <= place - self._next <= _READ_PAST:
            self._next = self.index.first_logged_with(place)
            self._source = self._bag.messages(self.connections, self.index.logs[place])
        return self._source
