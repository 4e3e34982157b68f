"""Captions of a bag's frame, as the node would publish them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.description_values import description_values
from perceptiondlm_ros.messages.images import decode_image
from perceptiondlm_ros.messages.region_selection import RegionSettings, select_regions
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS
from perceptiondlm_ros.offline.frame_matching.matched_frames import MatchedFrame
from perceptiondlm_ros.offline.journal import CaptionedFrame

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption
    from perceptiondlm_ros.captioner import RegionShape as Shape

_FRESH: Final = 0  # RegionDescription.FRESH: no caption is used again here


class BagCaptioner(Protocol):
    """What is needed of a Captioner."""

    @property
    def name(self) -> str: ...

    def describe(
        self, image: NDArray[np.uint8], regions: Sequence[Shape], prompt: str | None = None
    ) -> list[Caption]: ...


@dataclass(frozen=True)
class FrameCaptioner:
    """Captions one frame after the other, every region of each.

    significant_bits: of images of 16 bits, see `decode_image`.
    """

    captioner: BagCaptioner
    settings: RegionSettings
    prompt: str | None
    store: Typestore
    significant_bits: int = 0

    def caption(self, frame: MatchedFrame) -> CaptionedFrame:
        """The frame's descriptions. An image that can't be read drops its regions, counted.

        Raises:
            PerceptionDLMError: the model failed, or can't take the prompt.
        """
        total = len(frame.detections.detections)
        try:
            decoded = decode_image(frame.image, self.significant_bits)
        except InputError as error:
            return self._captioned(frame, [], Counter({f"on unreadable images ({error})": total}))
        height, width = decoded.pixels.shape[:2]
        regions = select_regions(
            frame.detections.detections, width, height, self.settings, frame.masks
        )
        captions = []
        if regions.kept:
            shapes = [region.shape for region in regions.kept]
            captions = self.captioner.describe(decoded.pixels, shapes, self.prompt)
        stamp = frame.image.header.stamp
        described = [
            description_values(region, caption, stamp) | {"source": _FRESH}
            for region, caption in zip(regions.kept, captions, strict=True)
        ]
        return self._captioned(
            frame, described, regions.dropped + regions.unwanted, decoded.low_bits
        )

    def _captioned(
        self,
        frame: MatchedFrame,
        regions: list[dict[str, Any]],
        dropped: Counter[str],
        low_bits: int = 0,
    ) -> CaptionedFrame:
        types: dict[str, Any] = self.store.types
        description = types["perceptiondlm_ros/msg/RegionDescription"]
        message = types[DESCRIPTIONS](
            header=frame.image.header,
            regions=[description(**values) for values in regions],
            dropped=len(frame.detections.detections) - len(regions),
            model=self.captioner.name,
            latency=types["builtin_interfaces/msg/Duration"](0, 0),  # nothing is published
        )
        return CaptionedFrame(
            number=frame.number,
            log_ns=frame.log_ns,
            message=bytes(self.store.serialize_cdr(message, DESCRIPTIONS)),
            regions=len(regions),
            dropped=dropped,
            low_bits=low_bits,
        )
