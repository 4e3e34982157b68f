"""What tests of the node's outputs share: results, and an active node that publishes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from log_support import Log
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from ros_support import Spinner, detection, header, ros_context, stamp
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.messages.boxes import box_corners
from perceptiondlm_ros.messages.region_selection import SelectedRegion
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.outputs import Output, Outputs
from perceptiondlm_ros.ros.outputs.result import Result, ResultRegion

SECOND = 1_000_000_000
CAPTION = "a large striped red circle, left of a small plain blue star"
Box = tuple[float, float, float, float]


def region(
    box: Box = (100, 60, 180, 120),
    name: str = "7",
    label: str = "cup",
    caption: str = CAPTION,
    source: int = RegionDescription.FRESH,
    made: int = SECOND,
    index: int = 0,
) -> RegionDescription:
    return RegionDescription(
        id=name,
        index=index,
        bbox=detection(*box).bbox,
        label=label,
        score=0.5,
        caption=caption,
        confidence=0.75,
        source=source,
        caption_stamp=stamp(made),
    )


def result(
    regions: Sequence[RegionDescription] = (),
    nanoseconds: int = SECOND,
    width: int = 320,
    height: int = 240,
    waiting: Sequence[RegionDescription] = (),
    tracks: Sequence[str] = (),
    masks: Sequence[np.ndarray | None] = (),
    **more: Any,
) -> Result:
    """A result on a grey image. waiting: without a caption. tracks: the regions' ids by default."""
    items = tuple(
        ResultRegion(
            track=tracks[place] if tracks else item.id,
            region=SelectedRegion(
                item.index,
                box_corners(item.bbox),
                item.bbox,
                Detection2D(id=item.id),
                item.label,
                item.score,
                masks[place] if masks else None,
            ),
            description=item if place < len(regions) else None,
        )
        for place, item in enumerate([*regions, *waiting])
    )
    message = RegionDescriptionArray(
        header=header(nanoseconds), regions=list(regions), model="fake"
    )
    pixels = np.full((height, width, 3), 90, np.uint8)
    return Result(message, **{"pixels": pixels, "regions": items, **more})


class Stage:
    """An active node with one output, a peer beside it, and what was warned of."""

    def __init__(
        self,
        context: Any,
        make: Callable[[LifecycleNode, Monitor], Output],
        **node_options: Any,
    ) -> None:
        log = Log()
        self.warnings, self.monitor = log.warnings, Monitor(log)
        self.node = LifecycleNode("region_captioner", context=context, **node_options)
        parameters.declare(self.node)
        self.output = make(self.node, self.monitor)
        self.outputs = Outputs([self.output], self.monitor, lambda: 2 * SECOND)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.activation = self.outputs.open()
        self.peer = Node("peer", context=context)
        self.until = Spinner(context, self.node, self.peer).until

    def publish(self, given: Result) -> None:
        given = replace(given, activation=self.activation, settings=parameters.read(self.node))
        assert self.outputs.publish(given)

    def listen(self, kind: type, topic: str, qos: Any = 10) -> list[Any]:
        """What comes on a topic of the node from now on."""
        heard: list[Any] = []
        self.peer.create_subscription(kind, f"region_captioner/{topic}", heard.append, qos)
        return heard


@contextmanager
def stage(make: Callable[[LifecycleNode, Monitor], Output], **node_options: Any) -> Iterator[Stage]:
    with ros_context() as context:
        found = Stage(context, make, **node_options)
        try:
            yield found
        finally:
            found.outputs.close()
            found.peer.destroy_node()
            found.node.destroy_node()
