"""An MCAP file of a bag."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Final

from mcap.opcode import Opcode
from mcap.records import Channel, Metadata

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.mcap_records import (
    MESSAGE_HEAD,
    DamagedRecordError,
    parse_chunk,
    parse_extra,
    records_in,
)
from perceptiondlm_ros.offline.bag_reading.mcap_scan import NOT_UTF_8, Extent, McapScan
from perceptiondlm_ros.offline.bag_reading.stored import (
    Connection,
    Definition,
    Extra,
    StoredMessage,
    merged,
)

RECORDERS_METADATA: Final = "rosbag2"
"""Name of the record in which a recorder repeats metadata.yaml."""


class McapReader:
    """An MCAP file of a bag, open.

    lacking: what of it can't be read, a sentence each. notes: what else is to be told.
    compression: of its chunks: "", "lz4" or "zstd".
    start_ns, end_ns: log times of the first and the last message; without any 0.

    Args:
        name: what messages call the file.
        step: is called with the bytes that were read.

    Raises:
        InputError: the file can't be read.
    """

    kind = "mcap"

    def __init__(
        self, path: Path, name: str, step: Callable[[int], object] = lambda read: None
    ) -> None:
        self._file = path.open("rb")
        try:
            self._scan = McapScan(self._file, name, step)
        except BaseException:
            self.close()
            raise
        self.compression = self._scan.compression
        self.lacking, self.notes = self._scan.lacking, self._scan.notes
        self.connections = [self._connection(channel) for channel in self._scan.channels.values()]
        self.start_ns = min((extent.first_ns for extent in self._scan.extents), default=0)
        self.end_ns = max((extent.last_ns for extent in self._scan.extents), default=0)

    def close(self) -> None:
        self._file.close()

    def messages(
        self, wanted: Collection[int], start: int | None = None
    ) -> Iterator[StoredMessage]:
        """Messages of the wanted connections from a log time in ns on, in the order of these.

        Raises:
            InputError: the file was changed since it was opened.
        """
        chosen, first = frozenset(wanted), start or 0

        def in_order(extent: Extent) -> list[StoredMessage]:
            found = self._messages(extent)
            kept = [m for m in found if m.connection in chosen and m.log_ns >= first]
            return sorted(kept, key=itemgetter(1))  # those of one log time stay as they are

        return merged(
            (extent.first_ns, partial(in_order, extent))
            for extent in self._scan.extents
            if extent.last_ns >= first
        )

    def extras(self) -> Iterator[Extra]:
        """What it holds beside messages, but for what its recorder repeats there."""
        for opcode, at, length in self._scan.extras:
            try:
                found = parse_extra(opcode, self._scan.read(at, length))
            except DamagedRecordError as error:
                raise self._changed(error) from error
            if not isinstance(found, Metadata) or found.name != RECORDERS_METADATA:
                yield found

    def _messages(self, extent: Extent) -> Iterator[StoredMessage]:
        try:
            data = self._scan.read(extent.at, extent.length)
            if extent.chunk:
                data, _ = parse_chunk(data)
            for opcode, inside, size in records_in(data):
                if opcode == Opcode.MESSAGE:
                    channel, sequence, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(data, inside)
                    body = data[inside + MESSAGE_HEAD.size : inside + size]
                    yield StoredMessage(channel, log_ns, body, publish_ns, sequence)
        except DamagedRecordError as error:
            raise self._changed(error) from error

    def _changed(self, error: DamagedRecordError) -> InputError:
        return InputError(f"{self._scan.name} was changed while it was read: {error}")

    def _connection(self, channel: Channel) -> Connection:
        what = f"{self._scan.name}: {channel.topic}"
        schema = self._scan.schemas.get(channel.schema_id)
        if channel.schema_id and schema is None:
            self.lacking.append(f"{what}: its schema is not in the file")
        msgtype = schema.name if schema else ""
        if "\ufffd" in f"{msgtype}{channel}":
            self.notes.append(f"{what}: what its channel says is {NOT_UTF_8}")
        metadata = dict(channel.metadata)
        return Connection(
            id=channel.id,
            topic=channel.topic,
            msgtype=msgtype,
            encoding=channel.message_encoding,
            definition=Definition(schema.encoding, schema.data) if schema else None,
            qos=metadata.pop("offered_qos_profiles", ""),
            digest=metadata.pop("topic_type_hash", ""),
            metadata=tuple(metadata.items()),
            msgcount=self._scan.counts[channel.id],
        )
