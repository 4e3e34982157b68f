"""`~/image_annotations`: outlines and captions that Foxglove draws over the image itself.

Only where foxglove_msgs is installed. It is no dependency: without Foxglove nobody needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, Final

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from perceptiondlm_ros.drawing.annotation import Annotation, lines_of
from perceptiondlm_ros.drawing.font import text_size
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.result import Result, annotations_of

_COLUMNS: Final = 40
_LINES: Final = 3
_LINE_HEIGHT: Final = 1.25  # in heights of the text
_BACKGROUND: Final = (14 / 255, 17 / 255, 23 / 255, 0.8)
_TEXT: Final = (0.96, 0.97, 0.97, 1.0)
_FILLED: Final = 0.12  # opacity of a mask
_COARSE: Final = 1.0  # pixels that a mask's outline may be beside its edge


def foxglove_messages() -> ModuleType | None:
    """The module foxglove_msgs.msg, where it is installed.

    Imported by name, since it is optional.
    """
    try:
        return importlib.import_module("foxglove_msgs.msg")
    except ImportError:
        return None


class ImageAnnotations(Output):
    """Made only while somebody subscribes."""

    drawn = True

    def __init__(self, node: LifecycleNode, messages: ModuleType) -> None:
        self._messages = messages
        topic, kind = "~/image_annotations", messages.ImageAnnotations
        self.publishers = (publisher(node, kind, topic, QoSProfile(depth=1)),)

    def render(self, result: Result) -> Iterable[Outgoing]:
        if result.pixels is not None:
            height, width = result.pixels.shape[:2]
            yield self.publishers[0], image_annotations(self._messages, result, width, height)


def image_annotations(messages: ModuleType, result: Result, width: int, height: int) -> Any:
    """The ImageAnnotations of a result on an image of this size."""
    shown, stamp = annotations_of(result, width, height), result.message.header.stamp
    labelled = [item for item in shown if item.labelled]
    return messages.ImageAnnotations(
        points=[line for item in shown for line in _outlines(messages, item, stamp, height)],
        texts=[text for item in labelled for text in _texts(messages, item, stamp, height)],
    )


def _outlines(messages: ModuleType, item: Annotation, stamp: Time, height: int) -> Iterator[Any]:
    """The contours of the mask, or the box."""
    for loop in _loops(item):
        yield messages.PointsAnnotation(
            timestamp=stamp,
            type=messages.PointsAnnotation.LINE_LOOP,
            points=[messages.Point2(x=float(x), y=float(y)) for x, y in loop],
            outline_color=_colour(messages, _rgba(item)),
            fill_color=_colour(messages, _rgba(item, 0.0 if item.mask is None else _FILLED)),
            thickness=float(max(2.0, height / 360)),
        )


def _loops(item: Annotation) -> list[NDArray[np.float64]]:
    """Closed lines, each [N, 2] in pixels."""
    if item.mask is not None and item.mask.any():
        found, _ = cv2.findContours(
            item.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        loops = [cv2.approxPolyDP(loop, _COARSE, True)[:, 0, :] for loop in found]
        # From numbers of pixels to their centres: the origin is the image's corner.
        return [np.asarray(loop, np.float64) + 0.5 for loop in loops]
    x0, y0, x1, y1 = item.box
    return [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)]


def _texts(messages: ModuleType, item: Annotation, stamp: Time, height: int) -> Iterator[Any]:
    """A text each line, as Foxglove keeps a text on one line; the last one stands on the box."""
    heading, size = item.heading(" · ", item.badge), text_size(height)
    lines = lines_of(heading, item.caption, _COLUMNS, _LINES)
    # A box at the upper edge has no place above it.
    step = size * _LINE_HEIGHT
    bottom = max(item.box[1] - 0.25 * size, step * len(lines))
    for row, line in enumerate(lines):
        baseline = bottom - step * (len(lines) - 1 - row)
        yield messages.TextAnnotation(
            timestamp=stamp,
            position=messages.Point2(x=float(item.box[0]), y=float(baseline)),
            text=line,
            font_size=size,
            text_color=_colour(messages, _rgba(item) if row == 0 and heading else _TEXT),
            background_color=_colour(messages, _BACKGROUND),
        )


def _rgba(item: Annotation, opacity: float = 1.0) -> tuple[float, float, float, float]:
    red, green, blue = item.colour
    return red / 255, green / 255, blue / 255, opacity


def _colour(messages: ModuleType, rgba: tuple[float, float, float, float]) -> Any:
    red, green, blue, opacity = rgba
    return messages.Color(r=red, g=green, b=blue, a=opacity)
