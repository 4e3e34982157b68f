"""Publishers that a subscription can't hear, and what to do about each.

ROS drops such pairs without an error on either side: the topic is there, and nothing arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

from perceptiondlm_ros.ros.health.faults import Fault, OtherQos, OtherType

if TYPE_CHECKING:
    from rclpy.topic_endpoint_info import TopicEndpointInfo

# Words by which rmw's explanation of an incompatibility tells the policy.
_POLICIES = {
    "best effort": "reliability",
    "transient local": "durability",
    "deadline": "deadline",
    "liveliness": "liveliness",
}


def mismatches(
    topic: str, kind: type[Any], requested: QoSProfile, publishers: Sequence[TopicEndpointInfo]
) -> tuple[Fault, ...]:
    """For each publisher of `topic` that a subscription of this kind and QoS can't hear, why."""
    found = (_mismatch(topic, type_name(kind), requested, publisher) for publisher in publishers)
    return tuple(mismatch for mismatch in found if mismatch)


def type_name(kind: type[Any]) -> str:
    """As in `ros2 topic info`: package/msg/Name."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"


def _mismatch(topic: str, expected: str, requested: QoSProfile, publisher: Any) -> Fault | None:
    who = _node_of(publisher)
    if publisher.topic_type != expected:
        return OtherType(topic, who, publisher.topic_type, expected)
    verdict, why = qos_check_compatible(publisher.qos_profile, requested)
    if verdict != QoSCompatibility.ERROR:
        return None
    why = " and ".join(part for part in why.lower().replace("error: ", "").split(";") if part)
    policies = tuple(name for words, name in _POLICIES.items() if words in why)
    return OtherQos(topic, who, policies, offered=why)


def _node_of(publisher: Any) -> str:
    """Full name of its node; the graph learns it a moment after the publisher itself."""
    if "_UNKNOWN_" in publisher.node_name:
        return "a publisher"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
