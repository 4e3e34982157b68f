"""`qos_overrides`: the quality of service that the user fixes for a topic, read at the start.

The parameters are named and mean what rclpy's own options do. Here they are declared and checked
when the process starts, inputs may follow their publishers, and one without effect is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Final

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

AUTO: Final = "auto"
SUBSCRIPTION: Final = "subscription"
PUBLISHER: Final = "publisher"

_PREFIX: Final = "qos_overrides"
_KINDS: Final = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}
_POLICIES: Final = ("history", "depth", "reliability", "durability")


def override_name(topic: str, end: str, policy: str) -> str:
    """Name of the parameter; topic: resolved, with its slash. end: SUBSCRIPTION or PUBLISHER."""
    return f"{_PREFIX}.{topic}.{end}.{policy}"


def fixed_policies(
    node: Node, topic: str, end: str, default: QoSProfile, following: Collection[str] = ()
) -> dict[str, Any]:
    """The policies to make a QoSProfile with, by name, as the user wants them or by default.

    following: policies that are `auto` by default, which are then left out.
    Raises ValueError for a value that the policy doesn't have.
    """
    found: dict[str, Any] = {}
    for policy in _POLICIES:
        name = override_name(topic, end, policy)
        usual = AUTO if policy in following else _written(getattr(default, policy))
        choices = [*([AUTO] if policy in following else []), *_choices(policy)]
        value = _read(node, name, usual, ", ".join(choices) or "0 or more")
        if isinstance(value, int):
            if value < 0:
                raise ValueError(f"parameter {name}: is {value}, expected 0 or more")
            found[policy] = value
        elif value.lower() not in choices:
            raise ValueError(
                f"parameter {name}: is {value!r}, expected one of {', '.join(choices)}"
            )
        elif value.lower() != AUTO:
            found[policy] = _KINDS[policy][value.upper()]
    return found


def check_overrides(node: Node, warn: Callable[[str], object]) -> None:
    """Look for overrides that nothing read, when all topics of a node are there.

    Raises ValueError for a policy that can't be set. A topic that the node doesn't have is told by
    `warn` alone: several nodes may share a file.
    """
    ends = {
        f"{_PREFIX}.{name.rpartition('.')[0]}" for name in node.get_parameters_by_prefix(_PREFIX)
    }
    # rclpy has no other way to see those that were given and not declared.
    for name in sorted(node._parameter_overrides):
        if not name.startswith(f"{_PREFIX}.") or node.has_parameter(name):
            continue
        end, _, policy = name.rpartition(".")
        if end in ends:
            raise ValueError(
                f"parameter {name}: {policy} can't be set, expected one of {', '.join(_POLICIES)}"
            )
        alike = sorted(known for known in ends if known.endswith(f".{end.rpartition('.')[2]}"))
        warn(f"parameter {name} has no effect; this node reads {', '.join(alike or sorted(ends))}")


def _read(node: Node, name: str, usual: str | int, constraints: str) -> str | int:
    given = node._parameter_overrides.get(name)  # rclpy's error doesn't say what may come
    if given is not None and type(given.value) is not type(usual):
        raise ValueError(f"parameter {name}: is {given.value!r}, expected {constraints}")
    if not node.has_parameter(name):  # two inputs may be remapped to one topic
        descriptor = ParameterDescriptor(
            description="Quality of service of a topic, read at the start.",
            additional_constraints=constraints,
            read_only=True,
        )
        node.declare_parameter(name, usual, descriptor)
    value: str | int = node.get_parameter(name).value
    return value


def _choices(policy: str) -> list[str]:
    """How the values of a policy are written; none for a number."""
    return [value.name.lower() for value in _KINDS.get(policy, ()) if value.name != "UNKNOWN"]


def _written(value: Any) -> str | int:
    """As a parameter: the name of a policy, or a number."""
    return value.name.lower() if isinstance(value, Enum) else int(value)
