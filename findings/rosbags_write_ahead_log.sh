#!/bin/sh
# rosbags leaves out the messages of a SQLite bag that are still in its write-ahead log.
. "$(dirname "$0")/environment.sh"
environment rosbags==0.11.9 apsw==3.54.1.0
"$python" - "$work" <<'PYTHON'
import shutil
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STRING = "std_msgs/msg/String"
work = Path(sys.argv[1])
store = get_typestore(Stores.ROS2_JAZZY)


def message(number):
    return bytes(store.serialize_cdr(store.types[STRING](data=f"message {number}"), STRING))


with Writer(work / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
    connection = writer.add_connection("/talk", STRING, typestore=store)
    for number in range(2):
        writer.write(connection, number, message(number))

# What a recorder does that writes with a write-ahead log, as rosbag2's profile "resilient" does.
recorder = sqlite3.connect(work / "bag" / "bag.db3", isolation_level=None)
recorder.execute("PRAGMA journal_mode=WAL")
recorder.execute("PRAGMA wal_autocheckpoint=0")
for number in range(2, 10):
    recorder.execute(
        "INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)",
        (number, message(number)),
    )
# What it leaves when it dies here.
for name in ("bag.db3", "bag.db3-wal"):
    shutil.copy(work / "bag" / name, work / name)
recorder.close()

with Reader(work / "bag.db3") as reader:
    counted, read = reader.message_count, sum(1 for _ in reader.messages())
(stored,) = sqlite3.connect(work / "bag.db3").execute("SELECT count(*) FROM messages").fetchone()

print(f"rosbags {version('rosbags')}, apsw {version('apsw')}, SQLite {sqlite3.sqlite_version}")
print("A bag in a SQLite file keeps most of its messages in the write-ahead log beside it.")
print(f"sqlite3 of the standard library shows {stored} messages.")
print(f"rosbags counts {counted} and reads {read}, without an error or a warning.")
changed = (stored, counted, read) != (10, 2, 2)
print("This is not what was seen before: 10, 2 and 2." if changed else "As before.")
sys.exit(changed)
PYTHON
