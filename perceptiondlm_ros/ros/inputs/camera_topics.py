"""The topics that place regions in space, camera_info and depth, taken only while wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from sensor_msgs.msg import CameraInfo, Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.matching import CLOCK_JUMP_NS, StampBuffer
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.depth import Depth, depth_of
from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription

if TYPE_CHECKING:
    from rclpy.node import Node

_PATIENCE: Final = 2.0  # seconds in which a camera_info should have come
_PERIOD: Final = 0.2  # seconds between checks of who wants it
_KEPT: Final = 300  # depths: ten seconds at 30 Hz, longer than a caption takes, in 20 to 120 MB


class CameraTopics:
    """Subscribes to `camera_info` and `depth` while open and `wanted`.

    Each depth is tied to its frame: an image of another frame is not registered to it.
    """

    def __init__(self, node: Node, wanted: Callable[[], bool], monitor: Monitor) -> None:
        self._wanted = wanted
        self._warn = monitor.warn
        self.info: CameraInfo | None = None
        self._depths: StampBuffer[tuple[str, Depth]] = StampBuffer()
        self._lock = Lock()  # depths are looked up in another thread than they come in
        self._info_topic = AdaptiveSubscription(node, CameraInfo, "camera_info", self._on_info)
        self._depth_topic = AdaptiveSubscription(node, Image, "depth", self._on_depth)
        self._since: float | None = None  # when the topics were opened, by the steady clock
        # Wanting is checked in real time: simulated time may stand still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD, self._adapt, clock=steady)
        self._timer.cancel()

    def open(self) -> None:
        self._adapt()
        self._timer.reset()

    def close(self) -> None:
        self._timer.cancel()
        self._stop()

    def camera_info(self) -> CameraInfo | None:
        """The last one. That none came is told, once there was time for one."""
        since = self._since
        if self.info is None and since is not None and time.monotonic() - since > _PATIENCE:
            topic = self._info_topic
            reasons = filter(None, (topic.untaken_history(), *map(str, topic.mismatches())))
            why = next((f"; {reason}" for reason in reasons), "")
            self._warn("camera_info", f"no markers: nothing came on {topic.topic}{why}")
        return self.info

    def depth_at(self, stamp: int, frame: str, tolerance: int) -> Depth | None:
        """The depth image nearest to a stamp, if within `tolerance`, both in ns."""
        with self._lock:
            found = self._depths.find(stamp, tolerance)
            if found is None:
                return None
            depth_frame, depth = self._depths.items[found]
        if depth_frame != frame:
            self._warn(
                "depth frame",
                f"depth images are in frame {depth_frame!r}, expected the image's {frame!r}: remap "
                "`depth` to the stream that is registered to the image (aligned_depth); "
                "markers.distance is used instead",
            )
            return None
        return depth

    def _adapt(self) -> None:
        if not self._wanted():
            self._stop()
            return
        self._info_topic.take()
        self._depth_topic.take()
        self._since = self._since or time.monotonic()

    def _stop(self) -> None:
        self._info_topic.close()
        self._depth_topic.close()
        self._since = self.info = None
        with self._lock:
            self._depths.clear()

    def _on_info(self, message: CameraInfo) -> None:
        self.info = message

    def _on_depth(self, message: Image) -> None:
        try:
            depth = depth_of(message)
        except InputError as error:
            self._warn("depth", str(error))
            return
        stamp = nanoseconds(message.header.stamp)
        with self._lock:
            if max(self._depths.items, default=stamp) > stamp + CLOCK_JUMP_NS:
                self._depths.clear()  # the clock was set back
            self._depths.add(stamp, (message.header.frame_id, depth))
            self._depths.trim(_KEPT)
