#!/bin/sh
# rosbags skips, without a word, messages of a topic whose QoS in metadata.yaml isn't the file's.
. "$(dirname "$0")/environment.sh"
environment rosbags==0.11.9 mcap==1.6.0
"$python" - "$work" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from mcap.reader import make_reader
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

forever = QosTime(9223372036, 854775807)
offered = Qos(
    QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE,
    forever, forever, QosLiveliness.AUTOMATIC, forever, False,
)
types = get_typestore(Stores.ROS2_JAZZY)
String = types.types["std_msgs/msg/String"]
bag = Path(sys.argv[1], "bag")
with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
    talk = writer.add_connection(
        "/talk", String.__msgtype__, typestore=types, offered_qos_profiles=[offered]
    )
    for stamp in range(1, 4):
        writer.write(talk, stamp, types.serialize_cdr(String("hello"), String.__msgtype__))


def read() -> tuple[int, list[int]]:
    with Reader(bag) as reader:
        return reader.message_count, [stamp for _, stamp, _ in reader.messages()]


before = read()
# As after a tool that writes the list of QoS profiles anew: another depth, the same messages.
metadata = bag / "metadata.yaml"
told = metadata.read_text()
assert told.count("depth: 10") == 1, told
metadata.write_text(told.replace("depth: 10", "depth: 5"))
after = read()
(path,) = bag.glob("*.mcap")
with path.open("rb") as file:
    stored = [message.log_time for _, _, message in make_reader(file).iter_messages()]

print(f"rosbags {version('rosbags')}, mcap {version('mcap')}")
print("A bag of three messages: metadata.yaml and the MCAP file both name the topic's QoS.")
print(f"With the same depth, rosbags announces {before[0]} messages and yields {len(before[1])}.")
print(f"With depth 5 in metadata.yaml, it announces {after[0]} and yields {len(after[1])}: no error.")
print(f"mcap reads {len(stored)} messages from the file.")
changed = (before, after, stored) != ((3, [1, 2, 3]), (3, []), [1, 2, 3])
print("This is not what was seen before: 3 and 3, then 3 and 0." if changed else "As before.")
sys.exit(changed)
PYTHON
