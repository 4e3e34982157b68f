"""Which message of a bag belongs to another one's stamp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matching_support import MS, Run

from perceptiondlm_ros.offline.frame_matching.stamp_index import StampIndex

SECOND = 1000  # everything here is in milliseconds


def index(*messages: tuple[int | None, int]) -> StampIndex:
    """Of messages with these stamps, None for unreadable ones, and log times."""
    found = StampIndex()
    for stamp, log in messages:
        found.add(None if stamp is None else stamp * MS, log * MS)
    return found


def find(there: StampIndex, stamp: int, log: int, tolerance: int = 50) -> int | None:
    return there.find(stamp * MS, log * MS, tolerance * MS)


def test_the_gap_is_to_the_nearest_on_either_side() -> None:
    there = index((0, 0), (None, 0), (100, 100), (1100, 1100))
    gaps = [there.gap(stamp * MS) for stamp in (50, 400, 1000, 2000)]
    assert gaps == pytest.approx([0.05, 0.3, 0.1, 0.9])
    assert there.gap(0) is index().gap(100 * MS) is find(index(), 100, 100) is None


def test_unreadable_messages_are_matched_with_nothing() -> None:
    there = index((None, 100), (133, 133), (None, 166))
    assert [there.is_readable(place) for place in range(3)] == [False, True, False]
    assert find(there, 0, 200) is None
    assert find(there, 100, 200) == 1


def test_unset_stamps_belong_to_the_last_one_before() -> None:
    there = index((0, 100), (20, 120), (0, 200), (0, 300))
    assert [find(there, 0, log) for log in (100, 199, 200, 290, 9000)] == [0, 0, 2, 2, 3]
    assert find(there, 20, 300, tolerance=9999) == 1
    assert find(there, 60, 300, tolerance=30) is None


def test_unset_stamps_wait_a_second_for_the_first_one() -> None:
    there = index((0, 5000))
    assert find(there, 0, 4000) == 0
    assert find(there, 0, 3999) is None
    assert find(index((20, 5000)), 0, 5000) is None


def test_a_stamp_that_was_sent_again_means_the_newer_message_from_then_on() -> None:
    there = index((100, 100), (133, 133), (100, 140), (166, 166))
    assert [find(there, 100, log) for log in (90, 100, 139, 140, 9000)] == [0, 0, 0, 2, 2]


LOOP = [(stamp, log + stamp) for log in (0, 20_000, 40_000) for stamp in range(1000, 11_000, 100)]


@pytest.mark.parametrize("late", [-30, 0, 500, 5 * SECOND])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_stamps_come_again_those_logged_nearest_are_taken(number: int, late: int) -> None:
    """A recording that was played in a loop, each time with the same stamps."""
    there = index(*LOOP)
    for stamp in (1000, 1100, 5000, 10_900):
        place = find(there, stamp, 20_000 * number + stamp + late)
        assert place == 100 * number + (stamp - 1000) // 100


def test_the_nearest_is_taken_of_the_same_pass_of_the_clock() -> None:
    """A simulation that was started again: its stamps are others."""
    there = index((1000, 1000), (1040, 1040), (5000, 5000), (1013, 8013), (1053, 8053))
    assert find(there, 1030, 1100) == 1
    assert find(there, 1030, 8100) == 3
    assert find(there, 1030, 4000) == 1
    assert find(there, 1040, 8100) == 1, "the same stamp wins"


def test_a_single_wrong_stamp_does_no_harm() -> None:
    there = index((100, 100), (133, 133), (2**31 * 1000 - 1, 140), (166, 166), (199, 199))
    assert find(there, 133, 3000) == 1
    assert find(there, 160, 3000) == 3
    assert find(there, 140, 3000) == 1


def test_a_slow_player_does_not_part_what_belongs_together() -> None:
    """At a hundredth of the speed; nothing was set back."""
    there = index(*((stamp, 100 * stamp) for stamp in range(1000, 2000, 20)))
    for stamp in (1001, 1199, 1531):
        place = find(there, stamp, 100 * stamp + 30_000)
        assert place == round((stamp - 1000) / 20)


def test_log_times_beyond_the_end_of_time_are_kept_in_order() -> None:
    there = StampIndex()
    for log in (5, 2**63 + 7, 2**64 - 1):
        there.add(100 * MS, log)
    assert [there.first_logged_with(place) for place in range(3)] == [0, 1, 1]


stamps = st.lists(st.integers(1, 2000), max_size=30, unique=True).map(sorted)


@given(images=stamps, found=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3000))))
def test_it_is_as_in_the_node_that_forgets_nothing(
    images: list[int], found: list[tuple[int, int]]
) -> None:
    """Images come in the order of their stamps; detections of any stamp at any time."""
    there = index(*((stamp, stamp) for stamp in images))
    run = Run(tolerance=70, images_kept=10_000, bytes_kept=10**9)
    events = [(stamp, 0, stamp) for stamp in images] + [(log, 1, stamp) for stamp, log in found]
    for _, kind, stamp in sorted(events):
        if kind == 0:
            run.image(stamp)
        else:
            # Unlike images these may be of long ago, which is no clock that was set back.
            run.matcher._last["detections"] = 0
            run.found(stamp)
    run.expire(100.0)
    expected = []
    for stamp, log in found:
        place = find(there, stamp, log, tolerance=70)
        if place is not None:
            expected.append((f"i{images[place]}", f"d{stamp}"))
    assert sorted(run.pairs) == sorted(expected)
