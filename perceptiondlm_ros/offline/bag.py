"""A bag as its files hold it; what metadata.yaml says is held against them.

Nothing is read in part without a word: whatever can't be read, or is not what metadata.yaml or the
files say that they hold, is an error, or else a sentence in `Bag.lacking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_files import chosen, open_file, stored
from perceptiondlm_ros.offline.differences import differences
from perceptiondlm_ros.offline.metadata import FILE, Stated, profiles, read_metadata
from perceptiondlm_ros.offline.storage import (
    CDR,
    ZSTD,
    Attachment,
    Connection,
    Notes,
    Record,
    StoredFile,
    merged,
)

_TOLD: Final = 12
"""How many sentences an error has at most."""

_LOOKED_AT: Final = 99
"""Messages of a file by which it is found out whether they are compressed, even if one is not."""


class Bag:
    """Use it with `with`.

    path: as it was given. kind: of storage, "mcap" or "sqlite3".
    connections: of all files; those that offer the same are one.
    start_time, end_time: of the first message, and after the last one, in ns.
    compression_mode: "message" or "file" where messages or whole files are compressed, else "".
    chunk_compression: of MCAP files, "", "lz4" or "zstd".
    lacking: what can't be read, or is not what was to be there, a sentence each.
    notes: what else is to be told, a sentence each.
    """

    def __init__(
        self, path: Path, partial: bool = False, step: Callable[[int], object] = lambda read: None
    ) -> None:
        """partial: read what can be read. step: is called with the bytes that were read.

        Raises:
            InputError: it is no bag, nothing of it can be read or, unless `partial`, not all of it.
        """
        self.path = path
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self.compression_mode = ""
        self._partial = partial
        self._step = step
        self._stack = ExitStack()
        self._files: list[StoredFile] = []
        self._names: list[str] = []
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *unused: object) -> None:
        self._stack.close()

    @property
    def message_count(self) -> int:
        return sum(connection.msgcount for connection in self.connections)

    @property
    def foreign(self) -> list[str]:
        """Topics with messages that are not ROS 2's, with their encodings."""
        return sorted(
            f"{c.topic} ({c.encoding or 'no encoding'})"
            for c in self.connections
            if c.encoding != CDR and c.msgcount
        )

    def records(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
    ) -> Iterator[tuple[Connection, Record]]:
        """Messages in the order of their log times, with the data as it is stored.

        Args:
            connections: whose messages; of all if none is given.
            start: only messages that were logged at this time or later, in ns.

        Raises:
            InputError: the bag was changed since it was opened.
        """
        wanted = {connection.id for connection in connections or self.connections}

        def opened(number: int) -> Iterator[Record]:
            numbers = self._numbers[number]
            chosen = {inner for inner, outer in numbers.items() if outer in wanted}
            for record in self._files[number].records(chosen, start):
                yield record._replace(connection=numbers[record.connection])

        known = {connection.id: connection for connection in self.connections}
        for record in merged(
            (file.start_ns, lambda number=number: opened(number))  # type: ignore[misc]
            for number, file in enumerate(self._files)
            if start is None or file.end_ns >= start
        ):
            yield known[record.connection], record

    def extras(self) -> Iterator[Attachment | Notes]:
        """Attachments and notes of MCAP files."""
        for file in self._files:
            yield from file.extras()

    def _open(self) -> None:
        stated = None
        if self.path.is_dir():
            stated = self._metadata()
            paths = chosen(self.path, stated, self.lacking)
        elif self.path.exists():
            paths = [self.path]
        else:
            raise InputError("there is no such file or folder")
        for path in paths:
            self._add(path)
        if not self._files:
            raise InputError("; ".join(self.lacking) or "there is no file of a bag in it")
        self._merge()
        if not self.compression_mode and any(map(_compresses_messages, self._files)):
            self.compression_mode = "message"
        self._test_qos()
        if stated:
            self._compare(stated)
        self._complain()

    def _metadata(self) -> Stated | None:
        path = self.path / FILE
        if not path.exists():
            inside = stored(self.path)
            if not inside:
                raise InputError("the folder is no bag: it has no metadata.yaml")
            alone = f", or give {inside[0]} itself" if len(inside) == 1 else ""
            self.lacking.append(
                f"it has no {FILE}, as after an interrupted recording; `ros2 bag reindex "
                f"{self.path}` makes one{alone}"
            )
        else:
            try:
                return read_metadata(path)
            except InputError as error:
                self.lacking.append(f"{error}; `ros2 bag reindex {self.path}` makes a new one")
        self._complain()
        return None

    def _add(self, path: Path) -> None:
        try:
            file, packed = open_file(path, self._stack, self.lacking, self._step)
        except InputError as error:
            self.lacking.append(str(error))
            return
        if self._files and file.kind != self._files[0].kind:
            self.lacking.append(
                f"{path.name}: its storage is {file.kind}, that of {self._names[0]} is "
                f"{self._files[0].kind}, and a bag can have one only"
            )
            return
        if packed:
            self.compression_mode = "file"
        self.lacking += file.lacking
        self.notes += file.notes
        self._files.append(file)
        self._names.append(path.name)

    def _merge(self) -> None:
        """One connection for all that offer the same, in whichever file."""
        known: dict[Connection, int] = {}
        counts: Counter[int] = Counter()
        self._numbers: list[dict[int, int]] = []
        for file in self._files:
            numbers: dict[int, int] = {}
            for connection in file.connections:
                number = known.setdefault(connection.offer, len(known) + 1)
                numbers[connection.id] = number
                counts[number] += connection.msgcount
            self._numbers.append(numbers)
        self.connections = [
            replace(offer, id=number, msgcount=counts[number]) for offer, number in known.items()
        ]
        filled = [file for file in self._files if any(c.msgcount for c in file.connections)]
        self.start_time = min((file.start_ns for file in filled), default=0)
        self.end_time = max((file.end_ns + 1 for file in filled), default=0)
        self.kind = self._files[0].kind
        self.chunk_compression = next((f.compression for f in self._files if f.compression), "")

    def _test_qos(self) -> None:
        for connection in self.connections:
            if connection.encoding == CDR:
                try:
                    profiles(connection.qos)
                except ValueError as error:
                    self.lacking.append(f"{connection.topic}: {error}; they are left out")

    def _compare(self, stated: Stated) -> None:
        if stated.custom:
            self.notes.append(f"custom_data of {FILE} is not copied")
        counts = {
            name: sum(connection.msgcount for connection in file.connections)
            for name, file in zip(self._names, self._files, strict=True)
        }
        self.lacking += differences(
            stated, self.kind, self.compression_mode, counts, self.connections
        )

    def _complain(self) -> None:
        if self.lacking and not self._partial:
            told = self.lacking[:_TOLD]
            if more := len(self.lacking) - len(told):
                told.append(f"and {more} more of this kind")
            raise InputError(
                f"{'; '.join(told)}. With --partial what can be read is captioned and copied all "
                "the same"
            )


def _compresses_messages(file: StoredFile) -> bool:
    """Whether most messages of CDR are compressed one by one."""
    cdr = [connection.id for connection in file.connections if connection.encoding == CDR]
    first = [record.data.startswith(ZSTD) for record in islice(file.records(cdr), _LOOKED_AT)]
    return 2 * sum(first) > len(first)
