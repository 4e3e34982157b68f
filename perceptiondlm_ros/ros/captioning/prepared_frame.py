"""A frame whose image is decoded and whose regions are tracked, and the message about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import Header

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.description_values import description_values
from perceptiondlm_ros.messages.images import decode_image
from perceptiondlm_ros.messages.matching import CLOCK_JUMP_NS, UNSET
from perceptiondlm_ros.messages.region_selection import SelectedRegion, select_regions
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.captioning.reuse import Reuse, TrackedFrame
from perceptiondlm_ros.ros.captioning.tracks import KeptCaption, Measurement, appearance, brightness
from perceptiondlm_ros.ros.health.faults import (
    dropped_regions,
    low_bits,
    unreadable_image,
    unusable_masks,
)
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.outputs.result import Result, ResultRegion
from perceptiondlm_ros.ros.settings import Settings

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption

_MOST_LATE = 2  # more in a row are no stragglers, but a clock that was set back a little


class Order(Enum):
    """How a frame follows the ones before. LATE: a newer one came before it."""

    NEXT = auto()
    LATE = auto()
    CLOCK_SET_BACK = auto()


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready to be captioned.

    matched: its image and detections. settings: those that hold for it, to the end.
    sequence: its number in the order of arrival, from 1.
    pixels: uint8 [H, W, 3] RGB; None where the image can't be read, which `error` says.
    tracked: its regions, tied to their tracks, in the order of `regions`.
    """

    matched: Frame
    settings: Settings
    sequence: int
    pixels: NDArray[np.uint8] | None
    regions: tuple[SelectedRegion, ...]
    tracked: TrackedFrame
    error: str = ""

    def result(
        self,
        model: str,
        kept: Mapping[int, KeptCaption],
        fresh: Mapping[int, Caption],
        *,
        error: str = "",
        draft: bool = False,
    ) -> Result:
        """What is published of it.

        kept: captions that are kept, by the region's place. fresh: made of this frame; they stand
            where none is kept: a kept one that a new one did not replace is the better one.
        error: why it has no fresh ones. draft: whether the fresh ones are drafts.
        """
        regions = tuple(
            ResultRegion(
                track, region, self._describe(region, kept.get(place), fresh.get(place), draft)
            )
            for place, (track, region) in enumerate(
                zip(self.tracked.names, self.regions, strict=True)
            )
        )
        described = [item.description for item in regions if item.description]
        message = RegionDescriptionArray(
            header=self.matched.image.header,
            regions=described,
            dropped=len(self.matched.detections.detections) - len(described),
            model=model,
        )
        return Result(
            message,
            self.pixels,
            regions,
            activation=self.matched.activation,
            sequence=self.sequence,
            error=self.error or error,
            settings=self.settings,
        )

    def _describe(
        self, region: SelectedRegion, kept: KeptCaption | None, fresh: Caption | None, draft: bool
    ) -> RegionDescription | None:
        header = self.matched.image.header
        if kept is None:
            return description(region, fresh, header, draft) if fresh else None
        described = description(region, kept.caption, header, kept.draft)
        sec, nanosec = divmod(kept.stamp_ns, 1_000_000_000)
        described.caption_stamp = Time(sec=sec, nanosec=nanosec)
        if not kept.draft and kept.stamp_ns != self.tracked.stamp_ns:
            described.source = RegionDescription.REUSED
        return described


def description(
    region: SelectedRegion, caption: Caption, header: Header, draft: bool = False
) -> RegionDescription:
    """The message for a region captioned on the image with this header."""
    source = RegionDescription.DRAFT if draft else RegionDescription.FRESH
    return RegionDescription(source=source, **description_values(region, caption, header.stamp))


class FramePreparer:
    """Decodes and tracks the frames in the order in which they come."""

    def __init__(self, reuse: Reuse, monitor: Monitor) -> None:
        self._reuse = reuse
        self._monitor = monitor
        self.sequence = 0  # of the last frame that was not late
        self._last_ns = 0
        self._late = 0  # frames in a row
        self._activation = 0
        self._prompt: str | None = None

    def prepare(self, frame: Frame, settings: Settings) -> PreparedFrame:
        """What there is to caption of the frame that was given to `follow` last."""
        stamp_ns = nanoseconds(frame.image.header.stamp)
        if settings.prompt != self._prompt:
            self._prompt = settings.prompt
            self._reuse.lose_captions()
        total = len(frame.detections.detections)
        try:
            decoded = decode_image(frame.image, settings.image.significant_bits)
        except InputError as error:
            self._monitor.report(unreadable_image(error, total))
            nothing = TrackedFrame(stamp_ns, settings.reuse, ())
            return PreparedFrame(frame, settings, self.sequence, None, (), nothing, str(error))
        pixels = decoded.pixels
        if decoded.low_bits:
            self._monitor.report(low_bits(decoded.low_bits))
        height, width = pixels.shape[:2]
        regions = select_regions(
            frame.detections.detections, width, height, settings.region_settings, frame.masks
        )
        if regions.masks_problem:
            self._monitor.report(unusable_masks(regions.masks_problem))
        self._monitor.report(dropped_regions(regions.dropped, regions.unwanted, total))
        level = brightness(pixels)
        measured = [
            Measurement(r.detection.id, r.label, r.box, appearance(pixels, r.box, level))
            for r in regions.kept
        ]
        tracked = self._reuse.track(stamp_ns, measured, settings.reuse)
        kept = tuple(regions.kept)
        return PreparedFrame(frame, settings, self.sequence, pixels, kept, tracked)

    def follow(self, frame: Frame) -> Order:
        """How a frame follows the ones before; another stream or a clock set back forgets them."""
        stamp_ns = nanoseconds(frame.image.header.stamp)
        order = Order.NEXT
        behind = self._last_ns - stamp_ns if stamp_ns != UNSET else 0
        if frame.activation != self._activation:
            self._activation = frame.activation
            self._reuse.clear()
        elif behind > CLOCK_JUMP_NS or (behind > 0 and self._late == _MOST_LATE):
            order = Order.CLOCK_SET_BACK
            self._reuse.clear()
        elif behind > 0:
            self._late += 1
            return Order.LATE
        self._late = 0
        self.sequence += 1
        self._last_ns = stamp_ns or self._last_ns
        return order
