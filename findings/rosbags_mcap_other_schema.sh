#!/bin/sh
# rosbags opens no MCAP file that has a channel of another kind beside those of ROS 2.
. "$(dirname "$0")/environment.sh"
environment rosbags==0.11.9 mcap==1.6.0
"$python" - "$work" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from mcap.reader import make_reader
from mcap.writer import Writer
from rosbags.rosbag2 import Reader

path = Path(sys.argv[1], "notes.mcap")
with path.open("wb") as file:
    writer = Writer(file)
    writer.start(profile="ros2")
    schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
    talk = writer.register_channel("/talk", "cdr", schema)
    schema = writer.register_schema("Note", "jsonschema", b'{"type": "object"}')
    notes = writer.register_channel("/notes", "json", schema)
    hello = b"\x00\x01\x00\x00\x06\x00\x00\x00hello\x00"
    writer.add_message(talk, log_time=1, publish_time=1, data=hello)
    writer.add_message(notes, log_time=2, publish_time=2, data=b'{"text": "hello"}')
    writer.finish()

with path.open("rb") as file:
    topics = [channel.topic for _, channel, _ in make_reader(file).iter_messages()]
try:
    with Reader(path) as reader:
        seen = f"{[connection.topic for connection in reader.connections]}"
except Exception as error:
    seen = repr(error)

print(f"rosbags {version('rosbags')}, mcap {version('mcap')}")
print("An MCAP file has a channel with a JSON schema beside one of ROS 2.")
print(f"mcap reads a message of each: {topics}.")
print(f"Opening it with rosbags gives {seen}: no error of its own, and nothing of the ROS 2 topic.")
changed = (topics, seen) != (["/talk", "/notes"], "KeyError('jsonschema')")
print("This is not what was seen before: KeyError('jsonschema')." if changed else "As before.")
sys.exit(changed)
PYTHON
