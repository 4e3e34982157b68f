#!/bin/sh
# rosbags deserializes no message with a string that isn't UTF-8, which rclpy does.
. "$(dirname "$0")/environment.sh"
environment rosbags==0.11.9 'ros-rclpy[fastrtps]==9.1.2' ros-std-msgs==5.5.1
"$python" - <<'PYTHON'
import sys
from importlib.metadata import version

from rclpy.serialization import deserialize_message
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import String

# "tête" in Latin-1, as a node in C++ may send it: neither side looks at what is in a string.
data = b"\x00\x01\x00\x00\x05\x00\x00\x00t\xeate\x00"
live = deserialize_message(data, String).data
try:
    offline = get_typestore(Stores.ROS2_KILTED).deserialize_cdr(data, "std_msgs/msg/String").data
except Exception as error:
    offline = f"{type(error).__name__}: {error}"

print(f"rosbags {version('rosbags')}, rclpy {version('rclpy')}")
print("A std_msgs/msg/String holds four bytes, of which one is no UTF-8.")
print(f"rclpy puts a replacement character there: {live!r}.")
print(f"rosbags gives no message: {offline}.")
changed = live != "t\ufffdte" or not offline.startswith("SerdeError: Could not deserialize")
print("This is not what was seen before: 't\ufffdte' and a SerdeError." if changed else "As before.")
sys.exit(changed)
PYTHON
