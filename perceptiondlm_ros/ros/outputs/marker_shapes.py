"""The markers of one region: its outline, and its caption above it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from perceptiondlm_ros.drawing.annotation import Annotation
from perceptiondlm_ros.ros.outputs.annotations import lines_of
from perceptiondlm_ros.ros.outputs.lens import Points

CAPTIONS: Final = "captions"
OUTLINES: Final = "outlines"

_COLUMNS: Final = 28
_LINES: Final = 4
_LINE_HEIGHT: Final = 1.2  # in heights of the text
_OUTLINE: Final = 0.004  # width of the lines, as a share of the distance


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
