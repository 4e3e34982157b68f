"""`~/markers`: captions in space, at their objects, in the camera's optical frame."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Vector3
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.faults import UnplacedRegions
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.camera_topics import CameraTopics
from perceptiondlm_ros.ros.inputs.depth import Depth, region_depth
from perceptiondlm_ros.ros.outputs.camera import Camera, camera_of
from perceptiondlm_ros.ros.outputs.lens import WIDEST, Points
from perceptiondlm_ros.ros.outputs.marker_ids import MarkerIds
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.regions import ShownRegion, shown_regions
from perceptiondlm_ros.ros.outputs.results import Result
from perceptiondlm_ros.ros.outputs.text_lines import lines_of

CAPTIONS: Final = "captions"
OUTLINES: Final = "outlines"

_COLUMNS: Final = 28
_LINES: Final = 4
_LINE_HEIGHT: Final = 1.2  # in heights of the text
_OUTLINE: Final = 0.004  # width of the lines, as a share of the distance
_LEAST_LIFETIME: Final = 2.0  # seconds


@dataclass(frozen=True)
class Placed:
    """A region in space. corners: [4, 3] in metres, clockwise from the upper left."""

    region: ShownRegion
    corners: Points


class Markers(Output):
    """Text and an outline for each region; made only while somebody subscribes.

    A region that waits for its caption keeps its markers, so that they don't blink.
    The depth image says how far away a region is, else the parameter markers.distance does.
    """

    def __init__(self, node: LifecycleNode, monitor: Monitor, always: Callable[[], bool]) -> None:
        """Make the publisher, silent yet.

        always: whether camera_info and depth are taken also while nobody subscribes.
        """
        self._node = node
        self._always = always
        self._monitor = monitor
        self._warn = monitor.warn
        # More than the last, so that a viewer that is busy misses no DELETE.
        self.publisher = publisher(node, MarkerArray, "~/markers", QoSProfile(depth=10))
        self._camera_topics = CameraTopics(node, lambda: self.wanted() or self._always(), monitor)
        self._ids = MarkerIds()
        self._pace = Pace()

    def open(self) -> None:
        self._camera_topics.open()

    def close(self) -> None:
        self._camera_topics.close()

    def wanted(self) -> bool:
        return bool(self.publisher.get_subscription_count())

    def render(self, result: Result) -> Iterable[Outgoing]:
        self._pace.tick(result.sequence)
        if result.pixels is None:
            return
        height, width = result.pixels.shape[:2]
        shown = list(shown_regions(result, width, height))
        placed = self._place(shown, result, width, height)
        numbers, gone = self._ids.update([_key(item.region) for item in placed])
        size = result.settings.markers.text_height
        header = result.message.header
        markers = [marker for number in gone for marker in _deletions(header, number)]
        for item, number in zip(placed, numbers, strict=True):
            markers += _markers(item, number, header, size, self._pace.lifetime)
        yield self.publisher, MarkerArray(markers=markers)

    def clear(self) -> Iterable[Outgoing]:
        self._ids.clear()
        self._pace = Pace()
        # A process that was told to end can no longer publish; markers end with their lifetime.
        if not self._node.context.ok() or not self.wanted():
            return
        yield self.publisher, MarkerArray(markers=[Marker(action=Marker.DELETEALL)])

    def _place(
        self, shown: Sequence[ShownRegion], result: Result, width: int, height: int
    ) -> list[Placed]:
        """The regions in space, but for those that aren't to be placed, which is told."""
        settings = result.settings
        camera = self._camera(width, height, settings.markers.rectified)
        if camera is None:
            return []
        header = result.message.header
        tolerance = settings.match_limits.tolerance_ns
        depth = self._camera_topics.depth_at(nanoseconds(header.stamp), header.frame_id, tolerance)
        assumed = settings.markers.distance
        distances = [self._measured(depth, item, width, height) or assumed for item in shown]
        placed = [
            Placed(item, corners)
            for item, corners in zip(shown, _corners(camera, shown, distances), strict=True)
            if np.isfinite(corners).all()
        ]
        if len(placed) < len(shown):
            number = len(shown) - len(placed)
            self._monitor.report(UnplacedRegions(number, len(shown), WIDEST))
        return placed

    def _camera(self, width: int, height: int, rectified: bool) -> Camera | None:
        """That of images of this size; None without a camera_info that fits, which is told."""
        info = self._camera_topics.camera_info()
        if info is None:
            return None
        try:
            camera = camera_of(info, width, height, rectified)
        except InputError as error:
            self._warn("camera_info", f"no markers: {error}")
            return None
        if camera.lens.distorts and (topic := _rectified_topic(self._node)):
            self._warn(
                "rectified",
                f"images on {topic} are rectified by their name, but markers.rectified is false: "
                "distortion is taken out once more, and markers stand beside their objects; set it",
            )
        return camera

    def _measured(
        self, depth: Depth | None, item: ShownRegion, width: int, height: int
    ) -> float | None:
        """Metres along the optical axis, where the depth image tells them."""
        if depth is None:
            return None
        try:
            return region_depth(depth, item.box, item.mask, width, height)
        except InputError as error:
            self._warn("depth", str(error))
            return None


class Pace:
    """How long markers live: well over the time between results, which varies with the load."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._sequence = 0
        self._periods: deque[float] = deque(maxlen=5)

    def tick(self, sequence: int, now: float | None = None) -> None:
        """A result of this frame is shown now; a frame's second result is no new one."""
        if sequence == self._sequence:
            return
        now = time.monotonic() if now is None else now
        if self._last is not None:
            self._periods.append(now - self._last)
        self._last, self._sequence = now, sequence

    @property
    def lifetime(self) -> float:
        """Seconds."""
        return max([_LEAST_LIFETIME, *(3 * period for period in self._periods)])


def _key(region: ShownRegion) -> tuple[str, str]:
    """What tells objects apart: the track and its class, or the place in the detector's array."""
    if region.track:
        return region.track, region.label
    return "", str(region.index)


def _rectified_topic(node: LifecycleNode) -> str:
    """The topic of images, if it is named as image_proc names rectified ones; else empty."""
    topics = [node.resolve_topic_name(name) for name in ("image", "image/compressed")]
    named = (topic for topic in topics if {"rect", "rectified"} & set(re.split("[/_]", topic)))
    return next(named, "")


def _corners(
    camera: Camera, shown: Sequence[ShownRegion], distances: Sequence[float]
) -> list[Points]:
    """Of each region: [4, 3], clockwise from the upper left."""
    boxes = [((x0, y0), (x1, y0), (x1, y1), (x0, y1)) for x0, y0, x1, y1 in (r.box for r in shown)]
    pixels = np.array(boxes, np.float64).reshape(-1, 2) - 0.5
    return list(camera.points(pixels, np.repeat(distances, 4)).reshape(-1, 4, 3))


def _markers(
    item: Placed, number: int, header: Header, size: float, lifetime: float
) -> Iterator[Marker]:
    """The outline, and the text above it; `size` is a letter's height over the distance."""
    sec, rest = divmod(lifetime, 1.0)
    common = {
        "header": header,
        "id": number,
        "action": Marker.ADD,
        "lifetime": Duration(sec=int(sec), nanosec=int(rest * 1e9)),
        "color": _colour(item.region),
    }
    distance = float(item.corners[0, 2])
    yield Marker(
        ns=OUTLINES,
        type=Marker.LINE_STRIP,
        pose=_upright(Point()),
        scale=Vector3(x=_OUTLINE * distance),
        points=[_point(corner) for corner in (*item.corners, item.corners[0])],
        **common,
    )
    heading = item.region.heading(" - ")  # RViz has no letters beyond ASCII
    lines = lines_of(heading, item.region.caption, _COLUMNS, _LINES)
    letter = size * distance
    place = item.corners[:2].mean(axis=0)  # the middle of the upper edge
    place[1] -= letter * (0.5 + _LINE_HEIGHT * len(lines) / 2)  # text is centred; y points down
    yield Marker(
        ns=CAPTIONS,
        type=Marker.TEXT_VIEW_FACING,
        pose=_upright(_point(place)),
        scale=Vector3(z=letter),
        text="\n".join(lines),
        **common,
    )


def _deletions(header: Header, number: int) -> Iterator[Marker]:
    for name in (OUTLINES, CAPTIONS):
        yield Marker(header=header, ns=name, id=number, action=Marker.DELETE)


def _colour(region: ShownRegion) -> ColorRGBA:
    """A draft is seen through."""
    red, green, blue = (value / 255 for value in region.colour)
    return ColorRGBA(r=red, g=green, b=blue, a=0.6 if region.draft else 1.0)


def _point(place: Points) -> Point:
    return Point(x=float(place[0]), y=float(place[1]), z=float(place[2]))


def _upright(position: Point) -> Pose:
    """RViz refuses a quaternion of zeros, which a message's default is not; said for others."""
    pose = Pose(position=position)
    pose.orientation.w = 1.0
    return pose
