#!/bin/sh
# A node in rclpy.spin that gets SIGTERM while it is busy ends now and then with one of several RCLErrors
# and status 1: the signal ends the context while the executor and callbacks go on using it.
. "$(dirname "$0")/environment.sh"
environment 'ros-rclpy[fastrtps]==9.1.2' ros-std-msgs==5.5.1
cat >"$work/node.py" <<'PYTHON'
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Header

rclpy.init()
node = Node("busy")
publisher = node.create_publisher(Header, "topic", 10)
node.create_timer(0.0005, lambda: publisher.publish(Header()))
once = node.create_timer(0.1, lambda: (print("spinning", flush=True), once.cancel()))
try:
    rclpy.spin(node)
except ExternalShutdownException:
    pass  # the documented way to end
PYTHON
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$python" - "$work/node.py" <<'PYTHON'
import subprocess
import sys
from importlib.metadata import version

MOST = 200
error, times = "", 0
while not error and times < MOST:
    times += 1
    node = subprocess.Popen(
        [sys.executable, sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    node.stdout.readline()
    node.terminate()
    _, told = node.communicate()
    if node.returncode:
        error = told.strip().rpartition("\n")[2]

print(f"rclpy {version('rclpy')}")
print("A node publishes at 2 kHz in rclpy.spin, catches ExternalShutdownException, and gets SIGTERM.")
print(f"It fails at the {times}. time with: {error}" if error else f"It ended well {times} times.")
print("As before." if error else "This is not what was seen before: a failure in 20 times or so.")
sys.exit(not error)
PYTHON
