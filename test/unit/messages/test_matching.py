"""Matching by stamp: images, masks and detections here are just their names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from matching_support import MS, Run

FAR = 2**31 * 1000 - 1  # ms: the last stamp that there is


@pytest.mark.parametrize(
    ("events", "matched"),
    [
        ("i100 d100 d200 i200", "i100=d100 i200=d200"),
        ("i100 i133 i166 i200 i233 d166", "i166=d166"),
        ("i100 d133 i133", "i133=d133"),
        ("i100 d120 i133", "i133~d120"),
        ("i100 d120 t0.9", ""),
        ("i100 d120 t1.0", "i100~d120"),
        ("i133 i100 d100", "i100=d100"),
        ("i0 i0 d0", "i0=d0"),
        ("i0 d20 t5", ""),
        ("i20 d0 t5", ""),
        ("i10000 d10000 i10100 d10100 i1000 d1000 d1100 i1100", "LOOP i1000=d1000 i1100=d1100"),
        ("i10000 d10000 i10100 d10100 d1000 i1000", "LOOP i1000=d1000"),
        (f"i100 i{FAR} i133 d133 i166 d166", "i133=d133 i166=d166"),
    ],
    ids=[
        "the exact stamp, whichever comes first",
        "detections long after their image",
        "a near image does not win over the exact one still to come",
        "the nearest, once the stream has passed",
        "not before the longest wait",
        "the nearest, after the longest wait",
        "an image that is slightly late",
        "unset stamps with each other",
        "unset images with no detections that are set",
        "set images with no detections that are unset",
        "a looping bag starts anew",
        "a looping bag whose detections jump first",
        "a stamp of the far future does no lasting harm",
    ],
)
def test_which_image_is_taken(events: str, matched: str) -> None:
    run = Run(tolerance=50).play(events)
    assert run.matched == matched.replace("LOOP", "i10000=d10000 i10100=d10100")
    jumps = "LOOP" in matched or str(FAR) in events
    assert run.clock_jumps == jumps
    assert run.backward == (jumps or "i133 i100" in events)
    assert run.unset == events.split().count("i0") + events.split().count("d0")


@pytest.mark.parametrize(
    ("events", "gaps", "options"),
    [
        ("i100 d200 i300", [0.1], {}),
        ("d100 t2", [None], {}),
        ("d1 d2 d3 d4 d5", [None, None], {"images_kept": 3}),
        ("i100 i200 i300 i400 d100 d200", [0.1], {"tolerance": 5, "images_kept": 3}),
    ],
    ids=["beyond the tolerance", "no image", "too many wait", "the image was forgotten"],
)
def test_what_finds_no_image_is_given_up_and_told(
    events: str, gaps: list[float | None], options: dict[str, Any]
) -> None:
    run = Run(**options).play(events)
    assert run.gaps == [gap if gap is None else pytest.approx(gap) for gap in gaps]
    assert len(run.pairs) == ("d200" in events and "i200" in events)


def test_clear_counts_what_was_waiting() -> None:
    run = Run().play("i100 d200")
    run.clear()
    assert run.play("i200").pairs == [] and run.withdrawn == 1


def test_images_and_masks_are_bounded_by_their_memory_but_for_the_newest() -> None:
    run = Run(images_kept=99, bytes_kept=25, masks=True)
    steps = [(10, [10]), (11, [10, 11]), (12, [11, 12]), (100, [100]), (9, [9])]
    for stamp, (size, kept) in enumerate(steps, start=1):
        run.image(stamp, "x" * size)
        assert [len(name) for name in run.matcher._images.items.values()] == kept
    assert list(Run(bytes_kept=7).play("m100 m200 m300").matcher._masks.items.values()) == ["m300"]


def test_an_image_that_had_to_make_room_is_told_from_one_that_never_was() -> None:
    run = Run(tolerance=5, images_kept=2).play("i1000 i1100 i1200 i1300 d1000 d1100 d900 d1250")
    assert [lost.forgotten for lost in run.lost] == [True, True, False, False]
    assert run.gaps == pytest.approx([0.2, 0.1, 0.3, 0.05])


def test_when_too_many_wait_the_oldest_takes_the_nearest_image_there_is() -> None:
    run = Run(tolerance=50, images_kept=2).play("i100 d110 d120 d130")
    assert run.matched == "i100~d110" and not run.lost


def test_masks_are_matched_like_images_whichever_comes_first() -> None:
    run = Run(masks=True).play("m100 d100")
    assert run.pairs == []
    run.play("i100 i200 d200")
    assert len(run.pairs) == 1, "the masks may still come"
    run.play("m200 i300 d290 m310")
    assert run.matched == "i100=d100 i200=d200 i300~d290"
    assert run.masks == ["m100", "m200", "m310"]


def test_masks_that_do_not_come_are_not_waited_for_for_ever() -> None:
    run = Run(masks=True).play("i100 d100 t0.9")
    assert run.pairs == []
    run.play("t1.0 m500 i200 d200")
    assert run.matched == "i100=d100 i200=d200" and run.masks == [None, None]


def test_without_the_wish_for_masks_nothing_waits_for_them() -> None:
    assert Run().play("m100 i100 d100").masks == [None]


def test_limits_may_change_on_the_way() -> None:
    run = Run(tolerance=5, masks=True).play("i100 d110")
    run.limits = replace(run.limits, tolerance_ns=20 * MS, wants_masks=False)
    assert run.play("i200").matched == "i100~d110"


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
