"""The schedule of the denoising loop, and the loop on a session that counts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.runtime.backend import DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise, look_every, tokens_to_mask
from perceptiondlm_ros.runtime.feeds import remasking_schedule


class TestSchedule:
    @given(positions=st.integers(1, 5000), steps=st.integers(1, 1024), data=st.data())
    def test_the_published_formula(self, positions: int, steps: int, data: st.DataObject) -> None:
        step = data.draw(st.integers(0, steps - 1))
        exact = Fraction(positions * (steps - 1 - step), steps)
        count = tokens_to_mask(positions, step, steps)
        # The published code rounds the fraction before it multiplies, so one less is possible
        # where the exact product is whole.
        assert count in {math.floor(exact), math.ceil(exact) - 1}
        assert count == int(positions * (1 - (step + 1) / steps)) or exact.denominator == 1

    @given(positions=st.integers(1, 2000), steps=st.integers(1, 200))
    def test_it_never_grows_and_ends_at_none(self, positions: int, steps: int) -> None:
        counts = [tokens_to_mask(positions, step, steps) for step in range(steps)]
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == 0 and counts[0] < positions

    def test_numbers_by_hand(self) -> None:
        assert [tokens_to_mask(12, step, 8) for step in range(8)] == [10, 9, 7, 6, 4, 3, 1, 0]

    def test_the_fraction_is_rounded_first(self) -> None:
        # 10 * (7 / 10) is 7.0, while 29 * (29 / 29 - 1 / 29) differs by its rounding alone.
        differing = [
            (positions, step, steps)
            for positions in range(1, 200)
            for steps in range(1, 60)
            for step in range(steps)
            if int(positions * ((steps - 1 - step) / steps))
            != positions * (steps - 1 - step) // steps
        ]
        assert differing, "the order of rounding makes a difference somewhere"
        for positions, step, steps in differing[:20]:
            exact = positions * (steps - 1 - step) // steps
            assert tokens_to_mask(positions, step, steps) == exact - 1


class Counting:
    """Says in its state how many steps were run.

    Args:
        whole: the step after which nothing is masked.
    """

    def __init__(self, steps: int, look_every: int = 0, whole: int | None = None) -> None:
        self.steps, self.look_every = steps, look_every
        self.run = self.waited = 0
        self._whole = steps if whole is None else whole

    def step(self) -> None:
        self.run += 1

    def state(self) -> DenoisingState:
        self.waited += 1
        number = np.full((1, 1, 1), self.run)
        share, masked = number.astype(np.float32), number < self._whole
        return DenoisingState(number, masked, share, number, share, number.reshape(1))


def test_all_steps_are_launched_before_anything_is_waited_for() -> None:
    session = Counting(5)
    assert denoise(session).token_ids.item() == 5
    assert session.waited == 1


def test_a_watcher_sees_the_state_after_its_step() -> None:
    seen: list[int] = []
    denoise(Counting(5), {2: lambda state: seen.append(state.token_ids.item())})
    assert seen == [2]


@pytest.mark.parametrize(
    ("every", "whole", "run", "waited"), [(1, 3, 3, 3), (2, 3, 4, 2), (2, 4, 4, 2), (2, 5, 5, 3)]
)
def test_it_ends_at_the_first_look_that_finds_nothing_masked(
    every: int, whole: int, run: int, waited: int
) -> None:
    session = Counting(5, every, whole)
    assert denoise(session).token_ids.item() == session.run == run
    assert session.waited == waited


def test_it_ends_where_a_watcher_saw_nothing_masked() -> None:
    seen: list[int] = []
    watchers = dict.fromkeys((1, 3, 4), lambda state: seen.append(state.token_ids.item()))
    assert denoise(Counting(5, 2, whole=3), watchers).token_ids.item() == 3
    assert seen == [1, 3]


def test_only_a_gpu_is_left_alone_for_several_steps_and_the_schedule_needs_no_look() -> None:
    assert look_every(0.9, "cpu") == 1 < look_every(0.9, "cuda")
    assert look_every(math.inf, "cpu") == look_every(math.inf, "cuda") == 0


@pytest.mark.parametrize(("positions", "steps", "passes"), [(4, 20, 16), (1, 50, 1), (6, 6, 6)])
def test_the_schedule_ends_when_nothing_is_left_to_mask(
    positions: int, steps: int, passes: int
) -> None:
    (counts,) = remasking_schedule((positions,), 1, steps).tolist()
    assert len(counts) == passes
    assert 0 not in counts[:-1] and counts[-1] == 0


def test_the_schedule_of_a_small_group_waits_for_the_large_one() -> None:
    assert remasking_schedule((1, 8), 1, 4).tolist() == [[0, 0, 0, 0], [6, 4, 2, 0]]
