"""Opens an SQLite file with what its recorder left beside it, and changes nothing there.

A write-ahead log is read in place, without locks and with its index in memory. A copy is made only
of what SQLite would change: a recorder that kept a rollback journal instead may have left half a
transaction in the file, which SQLite undoes in the copy, and a log beside a file of no bytes, which
SQLite deletes.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import apsw

_SMALLEST_PAGE: Final = 512


def open_database(path: Path, stack: ExitStack) -> apsw.Connection:
    """The database, for reading only, with what lies in the files beside it.

    stack: closes it, and removes a copy.
    """
    log, journal = beside(path, "-wal"), rollback_journal(path)
    real = path.resolve()  # SQLite looks for the others beside this one
    flags, vfs, mode = apsw.SQLITE_OPEN_READONLY, None, "mode=ro"
    empty = not path.stat().st_size
    if journal or (log and (empty or log.resolve() != real.with_name(f"{real.name}-wal"))):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bag-")))
        for source, end in ((path, ""), (log, "-wal"), (journal, "-journal")):
            if source:
                shutil.copyfile(source, folder / f"copy{end}")
        real, flags, mode = folder / "copy", apsw.SQLITE_OPEN_READWRITE, "mode=rw"
        if empty:  # SQLite deletes the log of an empty database, even one opened for reading only
            real.write_bytes(bytes(_SMALLEST_PAGE))
    elif log:
        vfs = "unix-none"  # no locks, which would need a file of their own
    else:
        mode = "immutable=1"
    database = apsw.Connection(
        f"{real.as_uri()}?{mode}", flags=flags | apsw.SQLITE_OPEN_URI, vfs=vfs
    )
    stack.callback(database.close)
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")  # keeps the log's index in memory
    return database


def beside(path: Path, end: str) -> Path | None:
    """What lies beside a database as its log (-wal) or journal (-journal), if it isn't empty.

    Where the database is a link it may lie beside either end of it.
    """
    for end_of_link in (path, path.resolve()):
        found = end_of_link.with_name(end_of_link.name + end)
        if found.is_file() and found.stat().st_size:
            return found
    return None


def rollback_journal(path: Path) -> Path | None:
    """A journal of what has to be undone; a finished one begins with a zero."""
    journal = beside(path, "-journal")
    if journal is None:
        return None
    with journal.open("rb") as file:
        return None if file.read(1) == b"\0" else journal


def is_cut(path: Path) -> bool:
    """Whether a database ends in the middle of a page."""
    with path.open("rb") as file:
        head = file.read(18)
    page = int.from_bytes(head[16:], "big")
    page = 1 << 16 if page == 1 else page  # which two bytes can't say
    return bool(page and path.stat().st_size % page) and not rollback_journal(path)
