"""A matcher whose images, masks and detections are just their names."""

from __future__ import annotations

from perceptiondlm_ros.messages.matching import Limits, Matcher, Unmatched
from perceptiondlm_ros.ros.health.counters import Counters

MS = 1_000_000


class Run:
    """A matcher with what it did: times in milliseconds, patience one second."""

    def __init__(
        self, tolerance: int = 50, images_kept: int = 8, bytes_kept: int = 1000, masks: bool = False
    ) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.masks: list[str | None] = []
        self.lost: list[Unmatched] = []
        self.counters = Counters()
        self.matcher: Matcher[str, str, str] = Matcher(
            self._match,
            self.lost.append,
            self.counters,
            Limits(tolerance * MS, images_kept, bytes_kept, wants_masks=masks),
            size_of=len,
        )

    def _match(self, image: str, found: str, masks: str | None) -> None:
        self.pairs.append((image, found))
        self.masks.append(masks)

    def image(self, ms: int, name: str = "") -> None:
        self.matcher.add_image(ms * MS, name or f"i{ms}")

    def mask(self, ms: int) -> None:
        self.matcher.add_masks(ms * MS, f"m{ms}")

    def found(self, ms: int, now: float = 0.0) -> None:
        self.matcher.add_detections(ms * MS, f"d{ms}", now)

    @property
    def gaps(self) -> list[float | None]:
        return [lost.gap for lost in self.lost]
