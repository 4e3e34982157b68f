"""Matching by stamp, whatever comes in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from matching_support import MS, Run

times = st.one_of(st.integers(0, 400), st.integers(-(2**31), 2**31), st.just(0))


class AnyOrder(RuleBasedStateMachine):
    """Whatever comes in whatever order: bounds hold, and each detections message is told once."""

    @rule(
        tolerance=st.integers(0, 200),
        kept=st.integers(1, 5),
        bytes_kept=st.integers(1, 30),
        masks=st.booleans(),
    )
    @precondition(lambda self: not hasattr(self, "run"))
    def begin(self, tolerance: int, kept: int, bytes_kept: int, masks: bool) -> None:
        self.run = Run(tolerance, kept, bytes_kept, masks)
        self.steps = 0

    @rule(ms=times)
    @precondition(lambda self: hasattr(self, "run"))
    def image(self, ms: int) -> None:
        self.run.image(ms)

    @rule(ms=times)
    @precondition(lambda self: hasattr(self, "run"))
    def mask(self, ms: int) -> None:
        self.run.mask(ms)

    @rule(ms=times, also=st.booleans())
    @precondition(lambda self: hasattr(self, "run"))
    def found(self, ms: int, also: bool) -> None:
        """`also`: the exact image and masks are there already, so nothing else may be taken."""
        self.steps += 1
        if also:
            self.run.image(ms)
            self.run.mask(ms)
        before = len(self.run.pairs)
        self.run.found(ms, now=self.steps / 10)
        if also:
            assert (f"i{ms}", f"d{ms}") in self.run.pairs[before:]

    @rule()
    @precondition(lambda self: hasattr(self, "run"))
    def expire(self) -> None:
        self.steps += 3
        self.run.expire(self.steps / 10)

    @rule()
    @precondition(lambda self: hasattr(self, "run"))
    def clear(self) -> None:
        self.run.clear()
        assert not self.run.matcher._waiting

    @invariant()
    @precondition(lambda self: hasattr(self, "run"))
    def bounds_hold_and_nothing_is_lost_uncounted(self) -> None:
        matcher, limits = self.run.matcher, self.run.limits
        images = matcher._images
        assert len(images.items) <= 1 or images._bytes <= limits.bytes_kept
        assert images._bytes == sum(map(len, images.items.values()))
        assert max(len(images.items), len(matcher._masks.items)) <= limits.kept
        assert len(matcher._waiting) <= limits.kept
        decided = len(self.run.pairs) + len(self.run.lost) + self.run.withdrawn
        assert self.run.sent == decided + len(matcher._waiting)

    @invariant()
    @precondition(lambda self: hasattr(self, "run"))
    def pairs_are_within_the_tolerance(self) -> None:
        tolerance = self.run.limits.tolerance_ns // MS
        for (image, found), masks in zip(self.run.pairs, self.run.masks, strict=True):
            for other in filter(None, (image, masks)):
                gap = abs(int(other[1:]) - int(found[1:]))
                assert gap == 0 or (gap <= tolerance and "0" not in (other[1:], found[1:]))
        for lost in self.run.lost:
            assert lost.gap is None or lost.gap * 1000 > tolerance


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_order = AnyOrder.TestCase
