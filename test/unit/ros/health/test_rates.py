"""Rates from counts that are looked at now and then, and quantiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.ros.health.watch import Rates, quantile


def test_a_rate_is_what_was_added_over_the_time_looked_at() -> None:
    rates = Rates(span=10.0)
    for second in range(31):
        rates.look(100.0 + second, {"images": 30 * second, "captions": second // 2})
    assert rates.rate("images") == pytest.approx(30.0)
    assert rates.grown("images") == 300
    assert rates.rate("captions") == pytest.approx(0.5)
    assert rates.age("images") == 0.0
    assert rates.age("captions") == 0.0
    assert rates.rate("nothing") == 0.0 and rates.age("nothing") is None


def test_what_stops_falls_to_zero_within_the_span_and_has_an_age() -> None:
    rates = Rates(span=5.0)
    for second in range(20):
        rates.look(float(second), {"images": min(second, 8)})
    assert rates.rate("images") == 0.0
    assert rates.age("images") == 11.0


def test_nothing_is_known_before_the_second_look() -> None:
    rates = Rates()
    assert rates.rate("images") == 0.0 and rates.grown("images") == 0
    rates.look(5.0, {"images": 7})
    assert rates.rate("images") == 0.0 and rates.age("images") is None


def test_forgetting_counts_from_the_last_look_on() -> None:
    rates = Rates()
    rates.look(0.0, {"images": 0})
    rates.look(1.0, {"images": 50})
    rates.forget()
    assert rates.age("images") is None and rates.grown("images") == 0
    rates.look(2.0, {"images": 51})
    assert rates.grown("images") == 1 and rates.age("images") == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 100)), min_size=1, max_size=60))
def test_looks_are_bounded_and_rates_never_negative(steps: list[tuple[float, int]]) -> None:
    rates = Rates(span=10.0)
    now, count = 0.0, 0
    for seconds, more in steps:
        now, count = now + seconds, count + more
        rates.look(now, {"n": count})
        assert rates.rate("n") >= 0.0
        assert rates.grown("n") <= count
    first, last = rates._looks[0][0], rates._looks[-1][0]
    assert last - first <= 10.0 + 5.0


def test_quantiles() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.95) == 3.0
    values = [float(n) for n in range(101)]
    assert (quantile(values, 0.5), quantile(values, 0.95)) == (50.0, 95.0)
