"""Publishers that a subscription can't hear, and what to do about each.

ROS drops such pairs without an error on either side: the topic is there, and nothing arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from perceptiondlm_ros.ros.qos import AUTO, SUBSCRIPTION, override_name

if TYPE_CHECKING:
    from rclpy.topic_endpoint_info import TopicEndpointInfo

# Words by which rmw's explanation of an incompatibility tells the policy.
_POLICIES = {
    "best effort": "reliability",
    "transient local": "durability",
    "deadline": "deadline",
    "liveliness": "liveliness",
}
# Policies that a subscription takes from its publishers unless the user fixed them.
_FOLLOWING = {"reliability", "durability"}


def mismatches(
    topic: str, kind: type[Any], requested: QoSProfile, publishers: Sequence[TopicEndpointInfo]
) -> tuple[str, ...]:
    """One line for each publisher of `topic` that a subscription of this kind and QoS can't hear.

    Names the topic, the publisher, what both want, and what to do.
    """
    lines = (_mismatch(topic, type_name(kind), requested, publisher) for publisher in publishers)
    return tuple(line for line in lines if line)


def type_name(kind: type[Any]) -> str:
    """As in `ros2 topic info`: package/msg/Name."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def _mismatch(topic: str, expected: str, requested: QoSProfile, publisher: Any) -> str:
    who = _node_of(publisher)
    if publisher.topic_type != expected:
        return (
            f"type of {topic} differs: {who} publishes {publisher.topic_type}, this node takes "
            f"{expected}; remap one of them"
        )
    verdict, why = qos_check_compatible(publisher.qos_profile, requested)
    if verdict != QoSCompatibility.ERROR:
        return ""
    why = " and ".join(part for part in why.lower().replace("error: ", "").split(";") if part)
    policies = [name for words, name in _POLICIES.items() if words in why]
    if policies and set(policies) <= _FOLLOWING:
        names = (override_name(topic, SUBSCRIPTION, policy) for policy in policies)
        cure = f"set {' and '.join(names)} to {AUTO}"
    else:
        cure = "let the publisher offer what is asked for"
    return f"QoS of {topic} incompatible ({', '.join(policies)}): {who} has {why}; {cure}"


def _node_of(publisher: Any) -> str:
    """Full name of its node; the graph learns it a moment after the publisher itself."""
    if "_UNKNOWN_" in publisher.node_name:
        return "a publisher"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
