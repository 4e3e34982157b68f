"""The output that everything else is made from: `~/descriptions`."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.lifecycle import LifecycleNode

from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.outputs import LATCHED, Outgoing, Output, publisher
from perceptiondlm_ros.ros.outputs.results import Result


class Descriptions(Output):
    """Publishes the message itself, whoever listens."""

    def __init__(self, node: LifecycleNode) -> None:
        self.publisher = publisher(node, RegionDescriptionArray, "~/descriptions", LATCHED)

    def render(self, result: Result) -> Iterable[Outgoing]:
        yield self.publisher, result.message
