"""Matching by stamp: images, masks and detections here are just their names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perceptiondlm_ros.messages.matching import Limits, Matcher, Unmatched
from perceptiondlm_ros.ros.counters import Counters

MS = 1_000_000
SECOND = 1000 * MS


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


def test_exact_stamp_whichever_comes_first() -> None:
    run = Run()
    run.image(100)
    run.found(100)
    run.found(200)
    run.image(200)
    assert run.pairs == [("i100", "d100"), ("i200", "d200")]
    assert run.counters.matched_exact == 2


def test_detections_that_come_long_after_their_image() -> None:
    run = Run()
    for ms in range(100, 400, 33):
        run.image(ms)
    run.found(166)
    assert run.pairs == [("i166", "d166")]


def test_a_near_image_does_not_win_over_the_exact_one_still_to_come() -> None:
    run = Run()
    run.image(100)
    run.found(133)
    assert run.pairs == []
    run.image(133)
    assert run.pairs == [("i133", "d133")]


def test_nearest_once_the_stream_has_passed() -> None:
    run = Run()
    run.image(100)
    run.found(120)
    run.image(133)
    assert run.pairs == [("i133", "d120")]
    assert run.counters.matched_nearest == 1


def test_the_nearest_image_beyond_the_tolerance_is_no_match() -> None:
    run = Run(tolerance=50)
    run.image(100)
    run.found(200)
    run.image(300)
    assert run.pairs == []
    assert run.gaps == [pytest.approx(0.1)]
    assert run.counters.unmatched == 1 and run.counters.last_gap == pytest.approx(0.1)


def test_settle_takes_the_nearest_after_patience_and_not_before() -> None:
    run = Run()
    run.image(100)
    run.found(120, now=10.0)
    run.matcher.settle(10.9)
    assert run.pairs == []
    run.matcher.settle(11.0)
    assert run.pairs == [("i100", "d120")]


def test_detections_without_any_image_are_given_up() -> None:
    run = Run()
    run.found(100, now=0.0)
    run.matcher.settle(2.0)
    assert run.gaps == [None] and run.counters.unmatched == 1


def test_the_image_buffer_is_bounded_and_forgets_the_oldest() -> None:
    run = Run(tolerance=5, images_kept=3)
    for ms in (100, 200, 300, 400):
        run.image(ms)
    run.found(100)
    run.found(200)
    assert run.pairs == [("i200", "d200")]
    assert run.counters.unmatched == 1


def test_waiting_detections_are_bounded_too() -> None:
    run = Run(images_kept=3)
    for ms in range(1, 11):
        run.found(ms)
    assert run.counters.unmatched == 7


def test_unset_stamps_pair_with_each_other_and_are_counted() -> None:
    run = Run()
    run.image(0, "first")
    run.image(0, "second")
    run.found(0)
    assert run.pairs == [("second", "d0")]
    assert run.counters.unset_stamps == 3


def test_unset_stamps_never_pair_with_set_ones() -> None:
    run = Run(tolerance=10_000)
    run.image(0)
    run.found(20)
    run.matcher.settle(5.0)
    assert run.pairs == []
    run = Run(tolerance=10_000)
    run.image(20)
    run.found(0)
    run.matcher.settle(5.0)
    assert run.pairs == []
    assert run.counters.unmatched == 1


def test_a_looping_bag_starts_anew() -> None:
    run = Run()
    for ms in range(10_000, 10_500, 100):
        run.image(ms)
        run.found(ms)
    run.pairs.clear()
    run.image(1000)
    run.found(1000)
    run.found(1100)
    run.image(1100)
    assert run.pairs == [("i1000", "d1000"), ("i1100", "d1100")]
    assert run.counters.clock_jumps == 1
    assert run.counters.backward_stamps == 1
    assert run.counters.unmatched == 0


def test_a_looping_bag_whose_detections_jump_first() -> None:
    run = Run()
    run.image(10_000)
    run.found(10_000)
    run.found(1000)
    run.image(1000)
    assert run.pairs == [("i10000", "d10000"), ("i1000", "d1000")]
    assert run.counters.clock_jumps == 1


def test_slightly_late_images_are_no_clock_jump() -> None:
    run = Run()
    run.image(133)
    run.image(100)
    run.found(100)
    assert run.pairs == [("i100", "d100")]
    assert run.counters.backward_stamps == 1 and run.counters.clock_jumps == 0


def test_clear_counts_what_was_waiting() -> None:
    run = Run()
    run.image(100)
    run.found(200)
    run.matcher.clear()
    run.image(200)
    assert run.pairs == []
    assert run.counters.withdrawn == 1


def test_images_are_bounded_by_their_memory_but_for_the_newest() -> None:
    run = Run(images_kept=99, bytes_kept=25)
    for ms in (1, 2, 3):
        run.image(ms, str(ms) * 10)
    assert list(run.matcher._images.items.values()) == ["2" * 10, "3" * 10]
    run.image(4, "4" * 100)
    assert list(run.matcher._images.items.values()) == ["4" * 100]
    run.image(5, "5" * 10)
    run.image(6, "6" * 10)
    assert list(run.matcher._images.items.values()) == ["5" * 10, "6" * 10]


def test_masks_are_bounded_by_their_memory_too() -> None:
    run = Run(images_kept=99, bytes_kept=7, masks=True)
    for ms in (100, 200, 300):
        run.mask(ms)
    assert list(run.matcher._masks.items.values()) == ["m300"]


def test_an_image_that_had_to_make_room_is_told_from_one_that_never_was() -> None:
    run = Run(tolerance=5, images_kept=2)
    for ms in (1000, 1100, 1200, 1300):
        run.image(ms)
    for ms in (1000, 1100, 900, 1250):
        run.found(ms)
    assert [lost.forgotten for lost in run.lost] == [True, True, False, False]
    assert run.gaps == pytest.approx([0.2, 0.1, 0.3, 0.05])


def test_when_too_many_wait_the_oldest_takes_the_nearest_image_there_is() -> None:
    run = Run(tolerance=50, images_kept=2)
    run.image(100)
    for ms in (110, 120, 130):
        run.found(ms)
    assert run.pairs == [("i100", "d110")]
    assert not run.lost


def test_a_single_stamp_of_the_far_future_does_no_lasting_harm() -> None:
    run = Run()
    run.image(100)
    run.image(2**31 * 1000 - 1)
    run.image(133)
    run.found(133)
    run.image(166)
    run.found(166)
    assert run.pairs == [("i133", "d133"), ("i166", "d166")]
    assert run.counters.clock_jumps == 1


def test_masks_are_matched_like_images_whichever_comes_first() -> None:
    run = Run(masks=True)
    run.mask(100)
    run.found(100)
    assert run.pairs == []
    run.image(100)
    run.image(200)
    run.found(200)
    assert len(run.pairs) == 1, "the masks may still come"
    run.mask(200)
    run.image(300)
    run.found(290)
    run.mask(310)
    assert run.pairs == [("i100", "d100"), ("i200", "d200"), ("i300", "d290")]
    assert run.masks == ["m100", "m200", "m310"]
    assert run.counters.masks == 3 and run.counters.masks_missing == 0


def test_masks_that_do_not_come_are_counted_and_the_frame_goes_without() -> None:
    run = Run(masks=True)
    run.image(100)
    run.found(100, now=0.0)
    run.matcher.settle(0.9)
    assert run.pairs == []
    run.matcher.settle(1.0)
    run.mask(500)
    run.image(200)
    run.found(200)
    assert run.pairs == [("i100", "d100"), ("i200", "d200")]
    assert run.masks == [None, None]
    assert run.counters.masks_missing == 2


def test_without_the_wish_for_masks_nothing_waits_for_them() -> None:
    run = Run()
    run.mask(100)
    run.image(100)
    run.found(100)
    assert run.masks == [None]
    assert run.counters.masks_missing == 0


def test_limits_may_change_on_the_way() -> None:
    run = Run(tolerance=5, masks=True)
    run.image(100)
    run.found(110)
    run.matcher.limits = replace(run.matcher.limits, tolerance_ns=20 * MS, wants_masks=False)
    run.image(200)
    assert run.pairs == [("i100", "d110")]


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
        self.sent = 0

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
        self.sent += 1
        if also:
            self.run.image(ms)
            self.run.mask(ms)
        before = len(self.run.pairs)
        self.run.found(ms, now=self.steps / 10)
        if also:
            assert (f"i{ms}", f"d{ms}") in self.run.pairs[before:]

    @rule()
    @precondition(lambda self: hasattr(self, "run"))
    def settle(self) -> None:
        self.steps += 3
        self.run.matcher.settle(self.steps / 10)

    @rule()
    @precondition(lambda self: hasattr(self, "run"))
    def clear(self) -> None:
        self.run.matcher.clear()
        assert not self.run.matcher._pending

    @invariant()
    @precondition(lambda self: hasattr(self, "run"))
    def bounds_hold_and_nothing_is_lost_uncounted(self) -> None:
        matcher, counters, limits = self.run.matcher, self.run.counters, self.run.matcher.limits
        images = matcher._images
        assert len(images.items) <= 1 or images._bytes <= limits.bytes_kept
        assert images._bytes == sum(map(len, images.items.values()))
        assert max(len(images.items), len(matcher._masks.items)) <= limits.kept
        assert len(matcher._pending) <= limits.kept
        matched = counters.matched_exact + counters.matched_nearest
        assert len(self.run.pairs) == matched
        assert len(self.run.lost) == counters.unmatched
        assert counters.detections == self.sent
        assert self.sent == matched + counters.unmatched + counters.withdrawn + len(
            matcher._pending
        )

    @invariant()
    @precondition(lambda self: hasattr(self, "run"))
    def pairs_are_within_the_tolerance(self) -> None:
        tolerance = self.run.matcher.limits.tolerance_ns // MS
        for (image, found), masks in zip(self.run.pairs, self.run.masks, strict=True):
            for other in filter(None, (image, masks)):
                gap = abs(int(other[1:]) - int(found[1:]))
                assert gap == 0 or (gap <= tolerance and "0" not in (other[1:], found[1:]))
        for lost in self.run.lost:
            assert lost.gap is None or lost.gap * 1000 > tolerance


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_order = AnyOrder.TestCase
