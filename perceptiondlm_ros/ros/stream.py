"""One input topic, taken from whatever kind of publisher there is.

Best effort is compatible with every publisher, but middleware loses most large images on the way
when nothing is sent twice: one fragment that finds a buffer full is enough. So a topic whose
publishers all offer reliable delivery is taken reliably, and any other one as sensor data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from perceptiondlm_ros.ros.mismatch import IncompatibleOffers, mismatches, type_name

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

_AUTO = "auto"
_DEPTH = 5


class Stream:
    """A subscription that can be opened, closed, and fitted to the publishers that come and go.

    The parameters `qos_overrides.TOPIC.subscription.history`, `.depth` and `.reliability` are the
    standard ones, except that reliability may also be, and by default is, `auto`.
    """

    def __init__(
        self, node: Node, kind: type[Any], name: str, callback: Callable[[Any], None]
    ) -> None:
        self.topic: str = node.resolve_topic_name(name)
        self.offers = IncompatibleOffers()
        self._node = node
        self._kind = kind
        self._callback = callback
        self._subscription: Subscription[Any] | None = None

    @property
    def is_open(self) -> bool:
        return self._subscription is not None

    def open(self) -> None:
        self._auto = self._reliability_is_auto()
        self._reliability = self._offered() or ReliabilityPolicy.BEST_EFFORT
        self._subscription = self._subscribe()

    def fit(self) -> None:
        """Subscribe anew if the publishers' reliability has changed; to be called now and then."""
        if self._subscription is None:
            return
        offered = self._offered() if self._auto else None
        if offered in (None, self._reliability):
            return
        self._node.destroy_subscription(self._subscription)
        self._reliability = offered
        self._subscription = self._subscribe()

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def publishers(self) -> int:
        return int(self._node.count_publishers(self.topic))

    def elsewhere(self) -> tuple[str, ...]:
        """Topics of this kind that other nodes publish: one of them may be meant."""
        kind, own = type_name(self._kind), f"{self._node.get_fully_qualified_name()}/"
        return tuple(
            name
            for name, kinds in sorted(self._node.get_topic_names_and_types())
            if kind in kinds and name != self.topic and not name.startswith(own)
            if self._node.count_publishers(name)
        )

    def mismatches(self) -> tuple[str, ...]:
        """For each publisher that can't be heard while open, why and what to do about it."""
        subscription = self._subscription
        if subscription is None:
            return ()
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        return mismatches(self.topic, self._kind, subscription.qos_profile, publishers)

    def _subscribe(self) -> Subscription[Any]:
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=_DEPTH, reliability=self._reliability
        )
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if not self._auto:
            kinds.append(QoSPolicyKind.RELIABILITY)
        return self._node.create_subscription(
            self._kind,
            self.topic,
            self._callback,
            qos,
            event_callbacks=self.offers.callbacks(),
            qos_overriding_options=QoSOverridingOptions(kinds),
        )

    def _offered(self) -> ReliabilityPolicy | None:
        """The best that all publishers offer; None where there is no publisher."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        kinds = {publisher.qos_profile.reliability for publisher in publishers}
        if not kinds:
            return None
        reliable = kinds == {ReliabilityPolicy.RELIABLE}
        return ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT

    def _reliability_is_auto(self) -> bool:
        name = f"qos_overrides.{self.topic}.subscription.reliability"
        if not self._node.has_parameter(name):
            description = "reliable, best_effort, or auto: reliable where every publisher is."
            self._node.declare_parameter(
                name, _AUTO, ParameterDescriptor(description=description, read_only=True)
            )
        return bool(self._node.get_parameter(name).value == _AUTO)
