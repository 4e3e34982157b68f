"""What places regions in space: camera_info and depth, taken only while that is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from sensor_msgs.msg import CameraInfo, Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.descriptions import nanoseconds
from perceptiondlm_ros.ros.health.throttle import Throttle
from perceptiondlm_ros.ros.inputs.depth import Depth, depth_of
from perceptiondlm_ros.ros.inputs.history import History
from perceptiondlm_ros.ros.inputs.stream import Stream

if TYPE_CHECKING:
    from rclpy.node import Node

_PATIENCE: Final = 2.0  # seconds in which a camera_info should have come
_PERIOD: Final = 0.2  # seconds between looks at who wants it
_KEPT: Final = 300  # depths: ten seconds at 30 Hz, longer than a caption takes, in 20 to 120 MB


class Space:
    """Subscribes to `camera_info` and `depth` while open and `wanted`.

    Each depth is tied to its frame: an image of another frame is not registered to it.
    """

    def __init__(self, node: Node, wanted: Callable[[], bool], warn: Throttle) -> None:
        self.info: CameraInfo | None = None
        self._wanted = wanted
        self._warn = warn
        self._depths: History[tuple[str, Depth]] = History(_KEPT)
        self._streams = (
            Stream(node, CameraInfo, "camera_info", self._on_info),
            Stream(node, Image, "depth", self._on_depth),
        )
        self._since: float | None = None  # when the streams were opened, by the steady clock
        # Wanting is looked at in real time: simulated time may stand still.
        self._timer = node.create_timer(
            _PERIOD, self._fit, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    def open(self) -> None:
        self._fit()
        self._timer.reset()

    def close(self) -> None:
        self._timer.cancel()
        self._stop()

    def camera_info(self) -> CameraInfo | None:
        """The last one. That none came is told, once there was time for one."""
        since = self._since
        if self.info is None and since is not None and time.monotonic() - since > _PATIENCE:
            stream = self._streams[0]
            reasons = [reason for reason in (stream.history_left(), *stream.mismatches()) if reason]
            why = f"; {reasons[0]}" if reasons else ""
            self._warn("camera_info", f"no markers: nothing came on {stream.topic}{why}")
        return self.info

    def depth_at(self, stamp: int, frame: str, tolerance: int) -> Depth | None:
        """The depth image nearest to a stamp, if within `tolerance`, both in ns."""
        found = self._depths.nearest(stamp, tolerance)
        if found is None:
            return None
        if found[0] != frame:
            self._warn(
                "depth frame",
                f"depth images are in frame {found[0]!r}, expected the image's {frame!r}: remap "
                "`depth` to the stream that is registered to the image (aligned_depth); "
                "markers.distance is used instead",
            )
            return None
        return found[1]

    def _fit(self) -> None:
        if not self._wanted():
            self._stop()
            return
        for stream in self._streams:
            if self._since is None:
                stream.open()
            else:
                stream.fit()
        self._since = self._since or time.monotonic()

    def _stop(self) -> None:
        if self._since is not None:
            for stream in self._streams:
                stream.close()
        self._since = None
        self.info = None
        self._depths.clear()

    def _on_info(self, message: CameraInfo) -> None:
        self.info = message

    def _on_depth(self, message: Image) -> None:
        try:
            depth = depth_of(message)
        except InputError as error:
            self._warn("depth", str(error))
            return
        self._depths.add(nanoseconds(message.header.stamp), (message.header.frame_id, depth))
