"""One input topic, taken from whatever kind of publisher there is.

Best effort is compatible with every publisher, but middleware loses most large images on the way
when nothing is sent twice: one fragment that finds a buffer full is enough. So a topic whose
publishers all offer reliable delivery is taken reliably, and any other one as sensor data.
In the same way a topic whose publishers are all latched is taken with what they sent before. Where
only some are, the others could not be heard then, so it is taken without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
)
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from perceptiondlm_ros.ros.health.faults import Fault, other_qos, other_type, turned_down
from perceptiondlm_ros.ros.health.judging import Input
from perceptiondlm_ros.ros.qos import SUBSCRIPTION, fixed_policies, override_name

_BEST: Final = {
    "reliability": ReliabilityPolicy.RELIABLE,
    "durability": DurabilityPolicy.TRANSIENT_LOCAL,
}
_ANY: Final = {
    "reliability": ReliabilityPolicy.BEST_EFFORT,
    "durability": DurabilityPolicy.VOLATILE,
}
"""Compatible with every publisher."""

_DEFAULT: Final = QoSProfile(depth=5)

_EXPLAINED: Final = {"best effort": "reliability", "transient local": "durability"}
"""Words by which rmw's explanation of an incompatibility tells the policy."""


class AdaptiveSubscription:
    """A subscription that is open while wanted, and adapts to the publishers that come and go.

    turned_down: how many publishers the middleware turned down, by the policy that differs.

    The parameters `qos_overrides.TOPIC.subscription.history`, `.depth`, `.reliability` and
    `.durability` are the standard ones, except that the last two may also be, and by default are,
    `auto`. Raises ValueError for an impossible value.
    """

    def __init__(
        self, node: Node, kind: type[Any], name: str, callback: Callable[[Any], None]
    ) -> None:
        self.topic: str = node.resolve_topic_name(name)
        self.turned_down: Counter[str] = Counter()
        self._node = node
        self._kind = kind
        self._type = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        self._callback = callback
        self._fixed = fixed_policies(node, self.topic, SUBSCRIPTION, _DEFAULT, following=_BEST)
        self._policies: dict[str, Any] = {}  # of the subscription
        self._subscription: Subscription[Any] | None = None

    @property
    def is_open(self) -> bool:
        return self._subscription is not None

    def take(self, wanted: bool = True) -> None:
        """Be open where that is wanted, and fit to the publishers; to be called now and then."""
        if not wanted:
            self.close()
            return
        offered = self._offered()
        if self._subscription is None:
            self._subscribe(offered or _ANY)
        elif offered and {**offered, **self._fixed} != self._policies:
            self._node.destroy_subscription(self._subscription)
            self._subscribe(offered)

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def seen(self, age: float | None) -> Input:
        """How the topic is. age: seconds since its last message; None while none came."""
        publishers, mismatches = self._node.count_publishers(self.topic), self.mismatches()
        if publishers and age is None and not mismatches and self.turned_down:
            mismatches = (turned_down(self.topic, tuple(self.turned_down)),)
        elsewhere = () if publishers or age is not None else self._elsewhere()
        return Input(self.topic, int(publishers), mismatches, age, elsewhere)

    def _elsewhere(self) -> tuple[str, ...]:
        """Topics of this kind that other nodes publish: one of them may be meant."""
        own = f"{self._node.get_fully_qualified_name()}/"
        return tuple(
            name
            for name, kinds in sorted(self._node.get_topic_names_and_types())
            if self._type in kinds and name != self.topic and not name.startswith(own)
            if self._node.count_publishers(name)
        )

    def mismatches(self) -> tuple[Fault, ...]:
        """For each publisher that can't be heard while open, why and what to do about it.

        ROS drops such pairs without an error on either side: nothing arrives.
        """
        subscription = self._subscription  # another thread may close it
        if subscription is None:
            return ()
        requested = subscription.qos_profile
        found = (self._mismatch(publisher, requested) for publisher in self._publishers())
        return tuple(mismatch for mismatch in found if mismatch)

    def _mismatch(self, publisher: TopicEndpointInfo, requested: QoSProfile) -> Fault | None:
        who = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
        if "_UNKNOWN_" in publisher.node_name:  # the graph learns it a moment after the publisher
            who = "a publisher"
        if publisher.topic_type != self._type:
            return other_type(self.topic, who, publisher.topic_type, self._type)
        verdict, why = qos_check_compatible(publisher.qos_profile, requested)
        if verdict != QoSCompatibility.ERROR:
            return None
        why = " and ".join(part for part in why.lower().replace("error: ", "").split(";") if part)
        policies = tuple(policy for words, policy in _EXPLAINED.items() if words in why)
        return other_qos(self.topic, who, policies, offered=why)

    def untaken_history(self) -> str:
        """Why what latched publishers sent before is not taken while open; empty if it is."""
        latched = DurabilityPolicy.TRANSIENT_LOCAL
        offers = [publisher.qos_profile.durability for publisher in self._publishers()]
        if latched not in offers or self._policies.get("durability") == latched:
            return ""
        cure = "auto" if "durability" in self._fixed else "transient_local, to hear them alone"
        return (
            f"{offers.count(latched)} of {len(offers)} publishers of {self.topic} are latched, and "
            "what they sent before is not taken; set "
            f"{override_name(self.topic, SUBSCRIPTION, 'durability')} to {cure}"
        )

    def _subscribe(self, offered: Mapping[str, Any]) -> None:
        self._policies = {**offered, **self._fixed}
        self._subscription = self._node.create_subscription(
            self._kind,
            self.topic,
            self._callback,
            QoSProfile(**self._policies),
            # Takes the place of rclpy's own log line.
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_turned_down),
        )

    def _on_turned_down(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        self.turned_down[policy] += event.total_count_change

    def _offered(self) -> dict[str, Any]:
        """The best that all publishers offer, by policy; empty where there is no publisher."""
        offers = [publisher.qos_profile for publisher in self._publishers()]
        return {
            policy: best
            if all(getattr(offer, policy) == best for offer in offers)
            else _ANY[policy]
            for policy, best in _BEST.items()
            if offers
        }

    def _publishers(self) -> list[TopicEndpointInfo]:
        return list(self._node.get_publishers_info_by_topic(self.topic))
