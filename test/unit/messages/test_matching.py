"""Matching by stamp: images and detections here are just their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.messages.matching import Matcher
from perceptiondlm_ros.ros.counters import Counters

MS = 1_000_000
SECOND = 1000 * MS


class Run:
    """A matcher with what it did: times in milliseconds, patience one second."""

    def __init__(self, tolerance: int = 50, images_kept: int = 8) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.gaps: list[float | None] = []
        self.counters = Counters()
        self.matcher: Matcher[str, str] = Matcher(
            lambda image, found: self.pairs.append((image, found)),
            lambda stamp, gap: self.gaps.append(gap),
            self.counters,
            tolerance_ns=tolerance * MS,
            images_kept=images_kept,
        )

    def image(self, ms: int, name: str = "") -> None:
        self.matcher.add_image(ms * MS, name or f"i{ms}")

    def found(self, ms: int, now: float = 0.0) -> None:
        self.matcher.add_detections(ms * MS, f"d{ms}", now)


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


events = st.lists(
    st.tuples(
        st.sampled_from(["image", "found", "settle"]),
        st.one_of(st.integers(0, 400), st.integers(-(2**31), 2**31), st.just(0)),
    ),
    max_size=80,
)


@given(events=events, tolerance=st.integers(0, 200), kept=st.integers(1, 5))
def test_every_detection_message_is_accounted_for(
    events: list[tuple[str, int]], tolerance: int, kept: int
) -> None:
    run = Run(tolerance, kept)
    for step, (kind, value) in enumerate(events):
        if kind == "image":
            run.image(value)
        elif kind == "found":
            run.found(value, now=step / 10)
        else:
            run.matcher.settle(step / 10)
    run.matcher.clear()
    counters = run.counters
    assert counters.images == sum(kind == "image" for kind, _ in events)
    assert counters.detections == (
        counters.matched_exact + counters.matched_nearest + counters.unmatched + counters.withdrawn
    )
    assert len(run.pairs) == counters.matched_exact + counters.matched_nearest
    for image, found in run.pairs:
        assert abs(int(image[1:]) - int(found[1:])) <= tolerance
