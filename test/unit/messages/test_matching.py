"""Matching by stamp: images, masks and detections here are just their names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matching_support import MS, Run


def test_exact_stamp_whichever_comes_first() -> None:
    run = Run()
    run.image(100)
    run.found(100)
    run.found(200)
    run.image(200)
    assert run.pairs == [("i100", "d100"), ("i200", "d200")]
    assert run.exact == [True, True]


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
    assert run.exact == [False]


def test_the_nearest_image_beyond_the_tolerance_is_no_match() -> None:
    run = Run(tolerance=50)
    run.image(100)
    run.found(200)
    run.image(300)
    assert run.pairs == []
    assert run.gaps == [pytest.approx(0.1)]


def test_the_nearest_is_taken_after_the_longest_wait_and_not_before() -> None:
    run = Run()
    run.image(100)
    run.found(120, now=10.0)
    run.expire(10.9)
    assert run.pairs == []
    run.expire(11.0)
    assert run.pairs == [("i100", "d120")]


def test_detections_without_any_image_are_given_up() -> None:
    run = Run()
    run.found(100, now=0.0)
    run.expire(2.0)
    assert run.gaps == [None]


def test_the_image_buffer_is_bounded_and_forgets_the_oldest() -> None:
    run = Run(tolerance=5, images_kept=3)
    for ms in (100, 200, 300, 400):
        run.image(ms)
    run.found(100)
    run.found(200)
    assert run.pairs == [("i200", "d200")]
    assert len(run.lost) == 1


def test_waiting_detections_are_bounded_too() -> None:
    run = Run(images_kept=3)
    for ms in range(1, 11):
        run.found(ms)
    assert len(run.lost) == 7


def test_unset_stamps_pair_with_each_other_and_are_counted() -> None:
    run = Run()
    run.image(0, "first")
    run.image(0, "second")
    run.found(0)
    assert run.pairs == [("second", "d0")]
    assert run.unset == 3


def test_unset_stamps_never_pair_with_set_ones() -> None:
    run = Run(tolerance=10_000)
    run.image(0)
    run.found(20)
    run.expire(5.0)
    assert run.pairs == []
    run = Run(tolerance=10_000)
    run.image(20)
    run.found(0)
    run.expire(5.0)
    assert run.pairs == []
    assert len(run.lost) == 1


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
    assert run.clock_jumps == 1
    assert run.backward == 1
    assert not run.lost


def test_a_looping_bag_whose_detections_jump_first() -> None:
    run = Run()
    run.image(10_000)
    run.found(10_000)
    run.found(1000)
    run.image(1000)
    assert run.pairs == [("i10000", "d10000"), ("i1000", "d1000")]
    assert run.clock_jumps == 1


def test_slightly_late_images_are_no_clock_jump() -> None:
    run = Run()
    run.image(133)
    run.image(100)
    run.found(100)
    assert run.pairs == [("i100", "d100")]
    assert run.backward == 1 and run.clock_jumps == 0


def test_clear_counts_what_was_waiting() -> None:
    run = Run()
    run.image(100)
    run.found(200)
    run.clear()
    run.image(200)
    assert run.pairs == []
    assert run.withdrawn == 1


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
    assert run.clock_jumps == 1


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


def test_masks_that_do_not_come_are_counted_and_the_frame_goes_without() -> None:
    run = Run(masks=True)
    run.image(100)
    run.found(100, now=0.0)
    run.expire(0.9)
    assert run.pairs == []
    run.expire(1.0)
    run.mask(500)
    run.image(200)
    run.found(200)
    assert run.pairs == [("i100", "d100"), ("i200", "d200")]
    assert run.masks == [None, None]


def test_without_the_wish_for_masks_nothing_waits_for_them() -> None:
    run = Run()
    run.mask(100)
    run.image(100)
    run.found(100)
    assert run.masks == [None]


def test_limits_may_change_on_the_way() -> None:
    run = Run(tolerance=5, masks=True)
    run.image(100)
    run.found(110)
    run.limits = replace(run.limits, tolerance_ns=20 * MS, wants_masks=False)
    run.image(200)
    assert run.pairs == [("i100", "d110")]
