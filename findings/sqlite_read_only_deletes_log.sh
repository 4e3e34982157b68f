#!/bin/sh
# SQLite deletes the write-ahead log beside an empty file, even one that it opens for reading only.
. "$(dirname "$0")/environment.sh"
environment apsw==3.54.1.0
"$python" - "$work" <<'PYTHON'
import shutil
import sys
from pathlib import Path

import apsw

work = Path(sys.argv[1])
writer = apsw.Connection(str(work / "whole"))
list(writer.execute("PRAGMA journal_mode = WAL; CREATE TABLE found(number)"))
# A power cut before anything of the database itself was on the disk: all of it is in the log.
(work / "cut").touch()
shutil.copy(work / "whole-wal", work / "cut-wal")
shutil.copy(work / "whole-wal", work / "filled-wal")
(work / "filled").write_bytes(bytes(512))  # as long as the smallest page


def tables(name):
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    reader = apsw.Connection(f"file:{work / name}?mode=ro", flags=flags)
    found = [row[0] for row in reader.execute("SELECT name FROM sqlite_master")]
    return found, (work / f"{name}-wal").exists()


empty, filled = tables("cut"), tables("filled")
print(f"apsw {apsw.apsw_version()}, SQLite {apsw.sqlite_lib_version()}")
print("All of a database is in its write-ahead log; it is opened for reading only.")
print(f"Beside a file without a byte: tables {empty[0]}, the log is there afterwards: {empty[1]}.")
print(f"Beside a file of zeros: tables {filled[0]}, the log is there afterwards: {filled[1]}.")
changed = (empty, filled) != (([], False), (["found"], True))
print("This is not what was seen before." if changed else "As before.")
sys.exit(changed)
PYTHON
