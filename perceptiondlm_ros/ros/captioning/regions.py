"""The settings of images and regions, as the node's parameters have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perceptiondlm_ros.messages.regions import RegionSettings
from perceptiondlm_ros.ros import parameters

if TYPE_CHECKING:
    from rclpy.node import Node


def region_settings(node: Node) -> RegionSettings:
    """The present values of the parameters."""
    return RegionSettings(
        most=parameters.read(node, "max_regions", int),
        min_score=parameters.read(node, "detections.min_score", float),
        classes=_names(parameters.read(node, "detections.classes", str)),
        excluded_classes=_names(parameters.read(node, "detections.excluded_classes", str)),
        fit=parameters.read(node, "detections.image_fit", str),
        seen_width=parameters.read(node, "detections.image_width", int),
        seen_height=parameters.read(node, "detections.image_height", int),
    )


def significant_bits(node: Node) -> int:
    """The present value for `decode_image`."""
    return parameters.read(node, "image.significant_bits", int)


def _names(joined: str) -> frozenset[str]:
    """The names in a string that are separated by commas."""
    return frozenset(name for name in map(str.strip, joined.split(",")) if name)
