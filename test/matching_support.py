"""A matcher whose images, masks and detections are just their names."""

from __future__ import annotations

from perceptiondlm_ros.messages.matching import Matcher, MatchLimits, Outcome, Unmatched

MS = 1_000_000


class Run:
    """A matcher with what became of everything: times in milliseconds, a wait of one second."""

    def __init__(
        self, tolerance: int = 50, images_kept: int = 8, bytes_kept: int = 1000, masks: bool = False
    ) -> None:
        self.limits = MatchLimits(tolerance * MS, images_kept, bytes_kept, wants_masks=masks)
        self.matcher = Matcher(size_of=len)
        self.pairs: list[tuple[str, str]] = []
        self.masks: list[str | None] = []
        self.exact: list[bool] = []
        self.lost: list[Unmatched] = []
        self.sent = self.withdrawn = self.unset = self.backward = self.clock_jumps = 0

    def image(self, ms: int, name: str = "") -> None:
        self._note(self.matcher.add("images", ms * MS, name or f"i{ms}", self.limits, 0.0))

    def mask(self, ms: int) -> None:
        self._note(self.matcher.add("masks", ms * MS, f"m{ms}", self.limits, 0.0))

    def found(self, ms: int, now: float = 0.0) -> None:
        self.sent += 1
        self._note(self.matcher.add("detections", ms * MS, f"d{ms}", self.limits, now))

    def expire(self, now: float) -> None:
        self._note(self.matcher.expire(self.limits, now))

    def play(self, events: str) -> Run:
        """Events in order: i, m and d are an image, masks and detections of a stamp in ms, which
        come at once; t is the time in s until which is waited."""
        for event in events.split():
            kind, number = event[0], event[1:]
            if kind == "t":
                self.expire(float(number))
            else:
                {"i": self.image, "m": self.mask, "d": self.found}[kind](int(number))
        return self

    @property
    def matched(self) -> str:
        """Pairs as they came, with an = where the stamp is the very same and else a ~."""
        told = zip(self.pairs, self.exact, strict=True)
        return " ".join(f"{image}{'=' if exact else '~'}{of}" for (image, of), exact in told)

    def clear(self) -> None:
        self.withdrawn += self.matcher.clear()

    @property
    def gaps(self) -> list[float | None]:
        return [lost.gap for lost in self.lost]

    def _note(self, outcome: Outcome) -> None:
        self.pairs += [(match.image, match.detections) for match in outcome.matches]
        self.masks += [match.masks for match in outcome.matches]
        self.exact += [match.exact for match in outcome.matches]
        self.lost += outcome.unmatched
        self.withdrawn += outcome.withdrawn
        self.unset += outcome.unset
        self.backward += outcome.backward
        self.clock_jumps += outcome.clock_jump
