"""What came lately, by stamp."""

from __future__ import annotations

import pytest

from perceptiondlm_ros.ros.inputs.history import History

SECOND = 1_000_000_000


@pytest.fixture
def history() -> History[str]:
    filled: History[str] = History(3)
    for number in (1, 2, 3, 4):
        filled.add(number * SECOND, str(number))
    return filled


def test_the_nearest_is_found_within_the_tolerance(history: History[str]) -> None:
    assert history.nearest(3 * SECOND + 100, 100) == "3"
    assert history.nearest(3 * SECOND + 101, 100) is None
    assert history.nearest(SECOND, SECOND // 2) is None, "too old to be kept"


def test_a_little_out_of_order_is_kept(history: History[str]) -> None:
    history.add(7 * SECOND // 2, "late")
    assert history.nearest(4 * SECOND, 0) == "4"
    assert history.nearest(7 * SECOND // 2, 0) == "late"


def test_a_clock_set_back_starts_anew(history: History[str]) -> None:
    history.add(SECOND, "again")
    assert history.nearest(4 * SECOND, 0) is None
    assert history.nearest(SECOND, 0) == "again"


def test_an_empty_one_has_nothing(history: History[str]) -> None:
    history.clear()
    assert history.nearest(SECOND, 10 * SECOND) is None
