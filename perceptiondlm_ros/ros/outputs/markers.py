"""`~/markers`: captions in space, at their objects, in the camera's optical frame."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Final

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.drawing.annotation import Annotation, lines_of, object_keys
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.faults import unplaced_regions
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.camera_topics import CameraTopics, region_depth
from perceptiondlm_ros.ros.outputs.calibration import (
    WIDEST,
    CalibratedCamera,
    Points,
    calibrated_camera,
)
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.result import Result, annotations_of

_LEAST_LIFETIME: Final = 2.0  # seconds
_MOST: Final = 2**31 - 1  # a marker's id is an int32

CAPTIONS: Final = "captions"
OUTLINES: Final = "outlines"

_COLUMNS: Final = 28
_LINES: Final = 4
_LINE_HEIGHT: Final = 1.2  # in heights of the text
_OUTLINE: Final = 0.004  # width of the lines, as a share of the distance


class Markers(Output):
    """Text and an outline for each region; made only while somebody subscribes.

    A region that waits for its caption keeps its markers, so that they don't blink.
    The depth image says how far away a region is, else the parameter markers.distance does.
    """

    drawn = True

    def __init__(self, node: LifecycleNode, monitor: Monitor, always: Callable[[], bool]) -> None:
        """Make the publisher, silent yet.

        always: whether camera_info and depth are taken also while nobody subscribes.
        """
        self._node = node
        self._monitor = monitor
        # More than the last, so that a viewer that is busy misses no DELETE.
        self.publishers = (publisher(node, MarkerArray, "~/markers", QoSProfile(depth=10)),)
        self._camera_topics = CameraTopics(node, lambda: self.wanted() or always(), monitor)
        self._ids = MarkerIds()
        self._lifetime = MarkerLifetime()

    def open(self) -> None:
        self._camera_topics.open()

    def close(self) -> None:
        self._camera_topics.close()

    def render(self, result: Result) -> Iterable[Outgoing]:
        self._lifetime.shown(result.sequence)
        if result.pixels is None:
            return
        placed, unplaced = self._placed(result, *result.pixels.shape[:2])
        if unplaced:
            yield unplaced_regions(unplaced, unplaced + len(placed), WIDEST)
        numbers, gone = self._ids.update(object_keys([item for item, _ in placed]))
        size = result.settings.markers.text_height
        header = result.message.header
        markers = [marker for number in gone for marker in deletions(header, number)]
        for (item, corners), number in zip(placed, numbers, strict=True):
            markers += region_markers(item, corners, number, header, size, self._lifetime.seconds)
        yield self.publishers[0], MarkerArray(markers=markers)

    def clear(self) -> Iterable[Outgoing]:
        self._ids.clear()
        self._lifetime = MarkerLifetime()
        # A process that was told to end can no longer publish; markers end with their lifetime.
        if self._node.context.ok() and self.wanted():
            yield self.publishers[0], MarkerArray(markers=[Marker(action=Marker.DELETEALL)])

    def _placed(
        self, result: Result, height: int, width: int
    ) -> tuple[list[tuple[Annotation, Points]], int]:
        """The regions with their corners in space, and how many more can't be placed."""
        camera = self._camera(width, height, result.settings.markers.rectified)
        if camera is None:
            return [], 0
        shown = annotations_of(result, width, height)
        corners = _corners(camera, shown, self._distances(result, shown, width, height))
        everything = zip(shown, corners, strict=True)
        placed = [(item, places) for item, places in everything if np.isfinite(places).all()]
        return placed, len(shown) - len(placed)

    def _camera(self, width: int, height: int, rectified: bool) -> CalibratedCamera | None:
        """That of images of this size; None without a camera_info that fits, which is told."""
        info = self._camera_topics.camera_info()
        if info is None:
            return None
        try:
            camera = calibrated_camera(info, width, height, rectified)
        except InputError as error:
            self._monitor.warn("camera_info", f"no markers: {error}")
            return None
        if camera.lens.distorts and (topic := _rectified_topic(self._node)):
            self._monitor.warn(
                "rectified",
                f"images on {topic} are rectified by their name, but markers.rectified is false: "
                "distortion is taken out once more, and markers stand beside their objects; set it",
            )
        return camera

    def _distances(
        self, result: Result, shown: Sequence[Annotation], width: int, height: int
    ) -> list[float]:
        """Metres along the optical axis: of the depth image where it tells them."""
        header, settings = result.message.header, result.settings
        tolerance = settings.match_limits.tolerance_ns
        depth = self._camera_topics.depth_at(nanoseconds(header.stamp), header.frame_id, tolerance)
        distances: list[float | None] = [None] * len(shown)
        if depth is not None:
            try:
                distances = [region_depth(depth, a.box, a.mask, width, height) for a in shown]
            except InputError as error:
                self._monitor.warn("depth", str(error))
        return [distance or settings.markers.distance for distance in distances]


class MarkerLifetime:
    """How long markers live: well over the time between results, which varies with the load."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._sequence = 0
        self._periods: deque[float] = deque(maxlen=5)

    def shown(self, sequence: int, now: float | None = None) -> None:
        """A result of this frame is shown now; a frame's second result is no new one."""
        if sequence == self._sequence:
            return
        now = time.monotonic() if now is None else now
        if self._last is not None:
            self._periods.append(now - self._last)
        self._last, self._sequence = now, sequence

    @property
    def seconds(self) -> float:
        return max([_LEAST_LIFETIME, *(3 * period for period in self._periods)])


def _rectified_topic(node: LifecycleNode) -> str:
    """The topic of images, if it is named as image_proc names rectified ones; else empty."""
    topics = [node.resolve_topic_name(name) for name in ("image", "image/compressed")]
    named = (topic for topic in topics if {"rect", "rectified"} & set(re.split("[/_]", topic)))
    return next(named, "")


def _corners(
    camera: CalibratedCamera, shown: Sequence[Annotation], distances: Sequence[float]
) -> NDArray[np.float64]:
    """Of each region in space, clockwise from the upper left: [N, 4, 3]."""
    boxes = [((x0, y0), (x1, y0), (x1, y1), (x0, y1)) for x0, y0, x1, y1 in (a.box for a in shown)]
    pixels = np.array(boxes, np.float64).reshape(-1, 2) - 0.5
    return camera.points(pixels, np.repeat(distances, 4)).reshape(-1, 4, 3)


def region_markers(
    item: Annotation, corners: Points, number: int, header: Header, size: float, lifetime: float
) -> Iterator[Marker]:
    """The outline, and the text above it.

    corners: [4, 3] in metres, clockwise from the upper left. size: a letter's height over the
    distance. lifetime: in seconds.
    """
    sec, rest = divmod(lifetime, 1.0)
    red, green, blue = (value / 255 for value in item.colour)
    common = {
        "header": header,
        "id": number,
        "action": Marker.ADD,
        "lifetime": Duration(sec=int(sec), nanosec=int(rest * 1e9)),
        "color": ColorRGBA(r=red, g=green, b=blue, a=0.6 if item.draft else 1.0),
    }
    distance = float(corners[0, 2])
    yield Marker(
        ns=OUTLINES,
        type=Marker.LINE_STRIP,
        pose=_upright(Point()),
        scale=Vector3(x=_OUTLINE * distance),
        points=[_point(corner) for corner in (*corners, corners[0])],
        **common,
    )
    heading = item.heading(" - ", item.badge)  # RViz has no letters beyond ASCII
    lines = lines_of(heading, item.caption, _COLUMNS, _LINES)
    letter = size * distance
    place = corners[:2].mean(axis=0)  # the middle of the upper edge
    place[1] -= letter * (0.5 + _LINE_HEIGHT * len(lines) / 2)  # text is centred; y points down
    yield Marker(
        ns=CAPTIONS,
        type=Marker.TEXT_VIEW_FACING,
        pose=_upright(_point(place)),
        scale=Vector3(z=letter),
        text="\n".join(lines),
        **common,
    )


def deletions(header: Header, number: int) -> Iterator[Marker]:
    """What takes back the markers of a region that is gone."""
    for name in (OUTLINES, CAPTIONS):
        yield Marker(header=header, ns=name, id=number, action=Marker.DELETE)


def _point(place: Points) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)


def _upright(position: Point) -> Pose:
    """RViz refuses a quaternion of zeros, which a message's default is not; said for others."""
    return Pose(position=position, orientation=Quaternion(w=1.0))


class MarkerIds:
    """Gives each object a number when it first comes, and tells which ones are gone."""

    def __init__(self) -> None:
        self._ids: dict[Hashable, int] = {}
        self._numbers = count()

    def update(self, keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
        """The numbers of the objects that are there now, and those of objects that are gone."""
        before, self._ids = self._ids, {}
        for key in keys:
            self._ids[key] = before[key] if key in before else next(self._numbers) % _MOST
        return list(self._ids.values()), [before[key] for key in before if key not in self._ids]

    def clear(self) -> None:
        self._ids = {}
