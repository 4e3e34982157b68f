#!/bin/sh
# rclpy writes a qos_overrides parameter into the caller's QoSProfile, so that topics which share the
# profile share the override of the first.
. "$(dirname "$0")/environment.sh"
environment 'ros-rclpy[fastrtps]==9.1.2' ros-std-msgs==5.5.1
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$python" - <<'PYTHON'
import sys
from importlib.metadata import version

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

rclpy.init()
latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
override = Parameter("qos_overrides./one.publisher.durability", value="volatile")
node = Node("node", parameter_overrides=[override])
allowed = QoSOverridingOptions([QoSPolicyKind.DURABILITY])
found = [
    node.create_publisher(Header, topic, latched, qos_overriding_options=allowed)
    .qos_profile.durability.name
    for topic in ("/one", "/two")
]
found.append(latched.durability.name)
node.destroy_node()
rclpy.shutdown()

print(f"rclpy {version('rclpy')}")
print("Two publishers are made with one latched QoSProfile; a parameter makes /one volatile.")
print(f"/one is {found[0]}, /two, of which no parameter speaks, is {found[1]},")
print(f"and the profile that the caller holds is {found[2]}.")
changed = found != ["VOLATILE", "VOLATILE", "VOLATILE"]
print("This is not what was seen before: VOLATILE for all." if changed else "As before.")
sys.exit(changed)
PYTHON
