"""From a frame's messages to what may be captioned of it, and to the message about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.descriptions import nanoseconds
from perceptiondlm_ros.messages.images import decode_image
from perceptiondlm_ros.messages.matching import CLOCK_JUMP_NS
from perceptiondlm_ros.messages.regions import Region, Regions, frame_regions
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.captioning.appearance import brightness, signature
from perceptiondlm_ros.ros.captioning.regions import region_settings, significant_bits
from perceptiondlm_ros.ros.captioning.reuse import Limits, Reuse, Scene
from perceptiondlm_ros.ros.captioning.tracks import Held, Sighting
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.outputs.conversions import description
from perceptiondlm_ros.ros.outputs.results import Result, Waiting

if TYPE_CHECKING:
    from rclpy.node import Node

    from perceptiondlm_ros.captioner import Caption

_UNSET = 0
_MOST_LATE = 2  # more in a row are no stragglers, but a clock that was set back a little


@dataclass(frozen=True)
class Observation:
    """A frame that was looked at.

    sequence: its number in the order of arrival, from 1.
    pixels: uint8 [H, W, 3] RGB; None where the image can't be read, which `error` says.
    scene: its regions, tied to their tracks, in the order of `regions`.
    prompt: what is to be asked about them; empty is the checkpoint's own.
    """

    frame: Frame
    sequence: int
    pixels: NDArray[np.uint8] | None
    regions: tuple[Region, ...]
    scene: Scene
    prompt: str
    error: str = ""


class Observer:
    """Looks at the frames in the order in which they come."""

    def __init__(
        self, node: Node, reuse: Reuse, monitor: Monitor, anew: Callable[[int], None]
    ) -> None:
        """anew: called with the number of a frame before which the clock was set back."""
        self._node = node
        self._reuse = reuse
        self._monitor = monitor
        self._anew = anew
        self._number = 0  # of the last frame
        self._last_ns = 0
        self._late = 0  # frames in a row
        self._activation = 0
        self._prompt: str | None = None

    def observe(self, frame: Frame) -> Observation | None:
        """What there is to caption; None for a frame that comes after a newer one."""
        stamp_ns = nanoseconds(frame.image.header.stamp)
        if self._comes_late(stamp_ns, frame.activation):
            return None
        self._number += 1
        prompt = parameters.read(self._node, "prompt", str)
        if prompt != self._prompt:
            self._prompt = prompt
            self._reuse.lose_captions()
        limits = read_limits(self._node)
        try:
            decoded = decode_image(frame.image, significant_bits(self._node))
        except InputError as error:
            self._monitor.failed("image", str(error))
            self._monitor.count_dropped({"unreadable image": len(frame.detections.detections)})
            scene = Scene(stamp_ns, limits, ())
            return Observation(frame, self._number, None, (), scene, prompt, str(error))
        pixels = decoded.pixels
        if decoded.low_bits:
            self._monitor.count_low_bits(decoded.low_bits)
        height, width = pixels.shape[:2]
        regions = frame_regions(frame, width, height, region_settings(self._node))
        self._tell(regions, len(frame.detections.detections))
        level = brightness(pixels)
        sightings = [
            Sighting(r.detection.id, r.label, r.box, signature(pixels, r.box, level))
            for r in regions.kept
        ]
        scene = self._reuse.see(stamp_ns, sightings, limits)
        return Observation(frame, self._number, pixels, tuple(regions.kept), scene, prompt)

    def _comes_late(self, stamp_ns: int, activation: int) -> bool:
        """Whether a newer frame came before; a new stream or a clock set back begins anew."""
        behind = self._last_ns - stamp_ns if stamp_ns != _UNSET else 0
        if activation != self._activation:
            self._activation = activation
            self._reuse.clear()
        elif behind > CLOCK_JUMP_NS or (behind > 0 and self._late == _MOST_LATE):
            self._reuse.clear()
            self._anew(self._number + 1)
        elif behind > 0:
            self._late += 1
            return True
        self._late = 0
        self._last_ns = stamp_ns or self._last_ns
        return False

    def _tell(self, regions: Regions, total: int) -> None:
        if regions.masks_problem:
            self._monitor.warn("masks", regions.masks_problem)
        # A filter may leave out more than was meant, so what it does is counted, if not told.
        without = regions.dropped + regions.unwanted
        if without:
            self._monitor.count_dropped(without)
        if regions.dropped:
            told = ", ".join(f"{number} {reason}" for reason, number in regions.dropped.items())
            self._monitor.warn(
                "regions", f"{regions.dropped.total()} of {total} detections dropped: {told}"
            )


def read_limits(node: Node) -> Limits:
    """The present limits of reuse."""
    return Limits(
        enabled=parameters.read(node, "reuse.enabled", bool),
        max_age=parameters.read(node, "reuse.max_age", float),
        max_gap=parameters.read(node, "reuse.max_gap", float),
        max_change=parameters.read(node, "reuse.max_change", float),
        max_turn=parameters.read(node, "reuse.max_turn", float),
        retries=parameters.read(node, "reuse.retries", int),
        budget=parameters.read(node, "reuse.budget", int),
    )


def compose(
    observation: Observation,
    model: str,
    fresh: Mapping[int, Caption],
    held: Mapping[int, Held],
    *,
    error: str = "",
    draft: bool = False,
) -> Result:
    """The result for a frame.

    held: captions that are kept, by the region's place. fresh: made of this frame; they stand where
        none is kept: a kept one that a new one did not replace is the better one.
    error: why it has no fresh ones. draft: whether the fresh ones are drafts.
    """
    frame = observation.frame
    header = frame.image.header
    descriptions: dict[int, RegionDescription] = {}
    for place, region in enumerate(observation.regions):
        known = held.get(place)
        if known is not None:
            descriptions[place] = description(region, known.caption, header)
            descriptions[place].caption_stamp = _stamp(known.stamp_ns)
            if known.draft:
                descriptions[place].source = RegionDescription.DRAFT
            elif known.stamp_ns != observation.scene.stamp_ns:
                descriptions[place].source = RegionDescription.REUSED
        elif place in fresh:
            descriptions[place] = description(region, fresh[place], header)
            if draft:
                descriptions[place].source = RegionDescription.DRAFT
    message = RegionDescriptionArray(
        header=header,
        regions=list(descriptions.values()),
        dropped=len(frame.detections.detections) - len(descriptions),
        model=model,
    )
    return Result(
        message,
        observation.pixels,
        tracks=tuple(observation.scene.names[place] for place in descriptions),
        masks=tuple(observation.regions[place].mask for place in descriptions),
        waiting=tuple(
            Waiting(name, region.detection.id, region.label, region.index, region.box, region.mask)
            for place, (name, region) in enumerate(
                zip(observation.scene.names, observation.regions, strict=True)
            )
            if place not in descriptions
        ),
        activation=frame.activation,
        sequence=observation.sequence,
        error=observation.error or error,
    )


def _stamp(stamp_ns: int) -> Time:
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)
