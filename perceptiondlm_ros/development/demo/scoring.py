"""Which captions are right, how many, and whether that is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from perceptiondlm_ros.msg import RegionDescription

ENOUGH: Final = 0.8
"""The share of captions that have to be right."""

ALL_WELL, TOO_FEW_RIGHT, NO_CAPTIONS = 0, 3, 4  # 1 and 2 are taken: Python errors, bad options


@dataclass(frozen=True)
class Verdict:
    """One caption beside the truth. truth: the matched one where right, else the canonical one."""

    id: str
    caption: str
    truth: str
    right: bool


@dataclass(frozen=True)
class FrameVerdict:
    """All captions of one image. age: seconds from the image's stamp to the publication."""

    verdicts: tuple[Verdict, ...]
    dropped: int
    age: float

    @property
    def right(self) -> int:
        return sum(verdict.right for verdict in self.verdicts)


@dataclass
class Tally:
    """All frames so far, for the last lines and the exit status."""

    frames: list[FrameVerdict] = field(default_factory=list)

    @property
    def captions(self) -> int:
        return sum(len(frame.verdicts) for frame in self.frames)

    @property
    def right(self) -> int:
        return sum(frame.right for frame in self.frames)

    @property
    def status(self) -> int:
        """The exit status: ALL_WELL, TOO_FEW_RIGHT or NO_CAPTIONS."""
        if self.captions == 0:
            return NO_CAPTIONS
        return ALL_WELL if self.right >= ENOUGH * self.captions else TOO_FEW_RIGHT


def judge(
    regions: Sequence[RegionDescription], truth: Mapping[str, Sequence[str]]
) -> tuple[Verdict, ...]:
    """Hold each caption against the truth of its own track id; an unknown id is never right."""
    verdicts = []
    for region in regions:
        acceptable = truth.get(region.id, ())
        right = region.caption in acceptable
        shown = region.caption if right else next(iter(acceptable), "(no such object)")
        verdicts.append(Verdict(region.id, region.caption, shown, right))
    return tuple(verdicts)
