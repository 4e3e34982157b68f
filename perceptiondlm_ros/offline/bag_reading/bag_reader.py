"""A bag as its files hold it; what metadata.yaml says is held against them.

Nothing is read in part without a word: whatever can't be read, or is not what metadata.yaml or the
files say that they hold, is an error, or else a sentence in `BagReader.lacking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_files import (
    StoredFile,
    choose_files,
    files_in,
    open_file,
)
from perceptiondlm_ros.offline.bag_reading.metadata import (
    FILE,
    StatedBag,
    qos_text,
    read_metadata,
)
from perceptiondlm_ros.offline.bag_reading.metadata_check import differences
from perceptiondlm_ros.offline.bag_reading.stored import (
    CDR,
    ZSTD,
    Connection,
    Extra,
    StoredMessage,
    merged,
)

_TOLD: Final = 12
"""How many sentences an error has at most."""

_LOOKED_AT: Final = 99
"""Messages of a file by which it is found out whether they are compressed, even if one is not."""


class BagReader:
    """A bag, open; use it with `with`. All of it was read once when it is made.

    Args:
        partial: read what can be read.
        step: is called with the bytes that were read.

    Raises:
        InputError: it is no bag, nothing of it can be read or, unless `partial`, not all of it.

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
        self.path = path
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self.compression_mode = ""
        self._partial = partial
        self._stack = ExitStack()
        self._files: dict[str, StoredFile] = {}
        try:
            self._open(step)
        except BaseException as error:
            self._stack.close()
            if isinstance(error, (InputError, OSError)):
                raise InputError(f"bag {path}: {error}") from error
            raise

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *unused: object) -> None:
        self._stack.close()

    def count(self, topics: Collection[str] = ()) -> int:
        """Messages of these topics; of all if none is given."""
        return sum(c.msgcount for c in self.connections if not topics or c.topic in topics)

    @property
    def losses(self) -> str:
        """What may be why something is not in the bag, to be added to a sentence."""
        return f". The bag is not whole: {'; '.join(self.lacking)}" if self.lacking else ""

    @property
    def foreign(self) -> list[str]:
        """Topics with messages that are not ROS 2's, with their encodings."""
        return sorted(
            f"{c.topic} ({c.encoding or 'no encoding'})"
            for c in self.connections
            if c.encoding != CDR and c.msgcount
        )

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
    ) -> Iterator[tuple[Connection, StoredMessage]]:
        """Messages in the order of their log times, with the data as it is stored.

        Args:
            connections: whose messages; of all if none is given.
            start: only messages that were logged at this time or later, in ns.

        Raises:
            InputError: the bag was changed since it was opened.
        """
        known = {connection.id: connection for connection in connections or self.connections}

        def opened(file: StoredFile, ids: dict[int, int]) -> Iterator[StoredMessage]:
            wanted = {inner for inner, outer in ids.items() if outer in known}
            for message in file.messages(wanted, start):
                yield message._replace(connection=ids[message.connection])

        for message in merged(
            (file.start_ns, partial(opened, file, ids))
            for file, ids in zip(self._files.values(), self._ids, strict=True)
        ):
            yield known[message.connection], message

    def extras(self) -> Iterator[Extra]:
        """Attachments and metadata of MCAP files."""
        for file in self._files.values():
            yield from file.extras()

    def _open(self, step: Callable[[int], object]) -> None:
        if not self.path.exists():
            raise InputError("there is no such file or folder")
        is_folder = self.path.is_dir()
        stated = self._metadata() if is_folder else None
        paths = choose_files(self.path, stated, self.lacking) if is_folder else [self.path]
        for path in paths:
            self._add(path, step)
        if not self._files:
            raise InputError("; ".join(self.lacking) or "there is no file of a bag in it")
        self._merge()
        if stated:
            self._compare(stated)
        self._refuse_losses()

    def _metadata(self) -> StatedBag | None:
        path, reindex = self.path / FILE, f"`ros2 bag reindex {self.path}` makes"
        if path.exists():
            try:
                return read_metadata(path)
            except InputError as error:
                self.lacking.append(f"{error}; {reindex} a new one")
        elif inside := files_in(self.path):
            alone = f", or give {inside[0]} itself" if len(inside) == 1 else ""
            self.lacking.append(
                f"it has no {FILE}, as after an interrupted recording; {reindex} one{alone}"
            )
        else:
            raise InputError("the folder is no bag: it has no metadata.yaml")
        self._refuse_losses()
        return None

    def _add(self, path: Path, step: Callable[[int], object]) -> None:
        try:
            file, packed = open_file(path, self._stack, self.lacking, step)
        except InputError as error:
            self.lacking.append(str(error))
            return
        first, other = next(iter(self._files.items()), (path.name, file))
        if file.kind != other.kind:
            self.lacking.append(
                f"{path.name}: its storage is {file.kind}, that of {first} is {other.kind}, and a "
                "bag can have one only"
            )
            return
        if packed:
            self.compression_mode = "file"
        self.lacking += file.lacking
        self.notes += file.notes
        self._files[path.name] = file

    def _merge(self) -> None:
        """One connection for all that offer the same, in whichever file."""
        known: dict[Connection, int] = {}
        counts: Counter[int] = Counter()
        self._ids: list[dict[int, int]] = []  # of the bag's connections by those of each file
        for file in self._files.values():
            self._ids.append({})
            for connection in file.connections:
                number = known.setdefault(connection.offer, len(known) + 1)
                self._ids[-1][connection.id] = number
                counts[number] += connection.msgcount
        self.connections = [
            replace(offer, id=number, qos=self._qos(offer), msgcount=counts[number])
            for offer, number in known.items()
        ]
        files = list(self._files.values())
        filled = [file for file in files if any(c.msgcount for c in file.connections)]
        self.start_time = min((file.start_ns for file in filled), default=0)
        self.end_time = max((file.end_ns + 1 for file in filled), default=0)
        self.kind = files[0].kind
        self.chunk_compression = next((f.compression for f in files if f.compression), "")
        if not self.compression_mode and any(map(_compresses_messages, files)):
            self.compression_mode = "message"

    def _qos(self, connection: Connection) -> str:
        """What it offers in the form that is written, without profiles that can't be read."""
        if connection.encoding != CDR:
            return connection.qos
        try:
            return qos_text(connection.qos)
        except ValueError as error:
            self.lacking.append(f"{connection.topic}: {error}; they are left out")
            return ""

    def _compare(self, stated: StatedBag) -> None:
        if stated.custom_data:
            self.notes.append(f"custom_data of {FILE} is not copied")
        counts = {
            name: sum(connection.msgcount for connection in file.connections)
            for name, file in self._files.items()
        }
        self.lacking += differences(
            stated, self.kind, self.compression_mode, counts, self.connections
        )

    def _refuse_losses(self) -> None:
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
    first = [message.data.startswith(ZSTD) for message in islice(file.messages(cdr), _LOOKED_AT)]
    return 2 * sum(first) > len(first)
