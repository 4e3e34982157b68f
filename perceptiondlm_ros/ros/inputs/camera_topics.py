"""The topics that place regions in space, camera_info and depth, taken only while wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # its home on Humble
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.images import image_numbers
from perceptiondlm_ros.messages.matching import CLOCK_JUMP_NS, StampBuffer
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.pixel_boxes import Box
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.subscription import AdaptiveSubscription

_PATIENCE: Final = 2.0  # seconds in which a camera_info should have come
_PERIOD: Final = 0.2  # seconds between checks of who wants it
_KEPT: Final = 300  # depths: ten seconds at 30 Hz, longer than a caption takes, in 20 to 120 MB

_KINDS: Final[dict[str, tuple[type[np.generic], float]]] = {
    "16UC1": (np.uint16, 0.001),
    "mono16": (np.uint16, 0.001),
    "32FC1": (np.float32, 1.0),
}
_ROWS: Final = 120  # or up to twice as many are kept: enough for a median over a region
_CORE: Final = 0.5  # the middle part of a box, by its sides, where its object most likely is
_LEAST_SEEN: Final = 0.05  # share of a region's depths that must be valid
_SAME_SHAPE: Final = 0.02  # by which the ratio of the sides may differ from the image's


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
        self._timer = node.create_timer(_PERIOD, lambda: self._take(self._wanted()), clock=steady)
        self._timer.cancel()

    def open(self) -> None:
        self._take(self._wanted())
        self._timer.reset()

    def close(self) -> None:
        self._timer.cancel()
        self._take(False)

    def camera_info(self) -> CameraInfo | None:
        """The last one. That none came is told, once there was time for one."""
        since = self._since
        if self.info is None and since is not None and time.monotonic() - since > _PATIENCE:
            topic = self._info_topic
            reasons = [topic.untaken_history(), *(fault.line for fault in topic.mismatches())]
            why = next((f"; {reason}" for reason in reasons if reason), "")
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

    def _take(self, wanted: bool) -> None:
        self._info_topic.take(wanted)
        self._depth_topic.take(wanted)
        if wanted:
            self._since = self._since or time.monotonic()
            return
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


@dataclass(frozen=True)
class Depth:
    """A depth image made coarse. metres: float32 [H, W] along the optical axis, NaN where unknown.

    width, height: of the depth image itself.
    """

    metres: NDArray[np.float32]
    width: int
    height: int


def depth_of(message: Image) -> Depth:
    """The depths in metres of a 16UC1 (millimetres) or 32FC1 (metres) image.

    Raises InputError for another encoding, or data that don't fit their size.
    """
    if message.encoding not in _KINDS:
        raise InputError(
            f"depth image: got encoding {message.encoding!r}, expected 16UC1 in millimetres or "
            "32FC1 in metres (REP-118); convert it, for instance with depth_image_proc"
        )
    kind, unit = _KINDS[message.encoding]
    try:
        values = image_numbers(message, kind)
    except InputError as error:
        raise InputError(f"depth {error}") from None
    stride = max(1, len(values) // _ROWS)
    metres = values[::stride, ::stride].astype(np.float32) * np.float32(unit)
    with np.errstate(invalid="ignore"):
        metres[~((metres > 0) & (metres < np.inf))] = np.nan  # zero and -inf: too near or unknown
    return Depth(metres, int(message.width), int(message.height))


def region_depth(
    depth: Depth, box: Box, mask: NDArray[np.bool_] | None, width: int, height: int
) -> float | None:
    """Median depth in metres of a region of a registered image of width x height pixels.

    box: x0, y0, x1, y1 inside the image. mask: bool [height, width], the region itself.
    Returns None where too little of the region has a depth.
    Raises InputError for a depth image of another shape, which can't be registered to the image.
    """
    if abs(depth.width * height / (depth.height * width) - 1) > _SAME_SHAPE:
        raise InputError(
            f"depth image: is {depth.width}x{depth.height}, expected the shape of the "
            f"{width}x{height} image; take the one that is registered to it (aligned_depth)"
        )
    x0, y0, x1, y1 = box
    if mask is None:
        dx, dy = (1 - _CORE) / 2 * (x1 - x0), (1 - _CORE) / 2 * (y1 - y0)
        x0, y0, x1, y1 = x0 + dx, y0 + dy, x1 - dx, y1 - dy
    rows, columns = depth.metres.shape
    left, right = _cells(x0 / width, x1 / width, columns)
    top, bottom = _cells(y0 / height, y1 / height, rows)
    values = depth.metres[top:bottom, left:right]
    if mask is not None:
        ys = ((np.arange(top, bottom) + 0.5) * height / rows).astype(int).clip(0, height - 1)
        xs = ((np.arange(left, right) + 0.5) * width / columns).astype(int).clip(0, width - 1)
        inside = mask[np.ix_(ys, xs)]
        values = values[inside] if inside.any() else values
    valid = values[~np.isnan(values)]
    if not values.size or valid.size < _LEAST_SEEN * values.size or not valid.size:
        return None
    return float(np.median(valid))


def _cells(low: float, high: float, count: int) -> tuple[int, int]:
    """The cells of `count` that a part of [0, 1] covers, one at least."""
    first = min(max(int(low * count), 0), count - 1)
    return first, max(min(round(high * count), count), first + 1)
