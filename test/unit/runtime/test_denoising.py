"""The denoising loop on a session that says what the test wants."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.model.contract import IntArray
from perceptiondlm_ros.runtime.backend import Prediction
from perceptiondlm_ros.runtime.denoising import (
    DenoisedCaptions,
    DenoisingTrace,
    denoise,
    tokens_to_mask,
)

MASK = 99


class Script:
    """Predicts at step s the tokens s*100 + position with the probabilities of row s."""

    def __init__(self, confidence: np.ndarray | list[list[float]], shape: tuple[int, ...]) -> None:
        self._confidence = np.asarray(confidence, np.float32).reshape(-1, *shape)
        self._positions = np.arange(np.prod(shape)).reshape(shape)
        self.seen: list[IntArray] = []

    def predict(self, caption_ids: IntArray) -> Prediction:
        step = len(self.seen)
        self.seen.append(caption_ids.copy())
        return Prediction(step * 100 + self._positions, self._confidence[step])


class RandomSession:
    """Tokens and probabilities from a seed, the same for the same tokens so far."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def predict(self, caption_ids: IntArray) -> Prediction:
        shape = caption_ids.shape
        confidence = self._random.integers(0, 5, shape) / 4  # with many ties
        return Prediction(self._random.integers(0, 50, shape), confidence.astype(np.float32))


def run(
    session: Script | RandomSession,
    shape: tuple[int, int, int],
    steps: int,
    regions: tuple[int, ...] | None = None,
    trace: DenoisingTrace | None = None,
) -> DenoisedCaptions:
    groups, slots, tokens = shape
    return denoise(
        session,
        regions=regions or (slots,) * groups,
        slots=slots,
        caption_tokens=tokens,
        steps=steps,
        mask_id=MASK,
        trace=trace,
    )


def masked_at(session: Script, step: int) -> list[int]:
    return np.flatnonzero(session.seen[step].reshape(-1) == MASK).tolist()


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


class TestLoop:
    def test_one_step_takes_everything_at_once(self) -> None:
        session = Script([[0.1, 0.2, 0.3, 0.4]], (1, 2, 2))
        result = run(session, (1, 2, 2), steps=1)
        assert len(session.seen) == 1 and (session.seen[0] == MASK).all()
        assert result.token_ids.tolist() == [[[0, 1], [2, 3]]]
        np.testing.assert_allclose(result.confidence, [[[0.1, 0.2], [0.3, 0.4]]], rtol=1e-6)

    def test_the_least_sure_positions_are_masked_again(self) -> None:
        session = Script([[0.9, 0.1, 0.5, 0.3], [0.9, 0.9, 0.9, 0.9]], (1, 1, 4))
        result = run(session, (1, 1, 4), steps=2)
        assert masked_at(session, 1) == [1, 3]
        assert result.token_ids.reshape(-1).tolist() == [0, 101, 2, 103]

    def test_the_budget_is_common_to_all_regions_of_a_group(self) -> None:
        # The first region is unsure everywhere, the second sure: all of the budget is the first's.
        session = Script([[0.1, 0.1, 0.9, 0.9], [1, 1, 1, 1]], (1, 2, 2))
        run(session, (1, 2, 2), steps=2)
        assert masked_at(session, 1) == [0, 1]

    def test_groups_have_budgets_of_their_own(self) -> None:
        session = Script([[0.1, 0.2, 0.8, 0.9], [1, 1, 1, 1]], (2, 1, 2))
        run(session, (2, 1, 2), steps=2)
        assert masked_at(session, 1) == [0, 2]

    def test_a_token_that_was_committed_can_be_masked_again(self) -> None:
        confidence = [[0.9, 0.8, 0.1, 0.2], [0.1, 0.9, 0.8, 0.9], [1, 0.1, 1, 1], [1, 1, 1, 1]]
        session = Script(confidence, (1, 1, 4))
        result = run(session, (1, 1, 4), steps=4)
        assert masked_at(session, 1) == [1, 2, 3], "position 0 was committed at step 0"
        assert masked_at(session, 2) == [0, 2], "and is revoked at step 1"
        assert result.token_ids.reshape(-1)[0] == 200

    def test_a_committed_token_keeps_its_place_and_its_confidence(self) -> None:
        confidence = [[0.9, 0.1], [0.6, 0.7]]
        result = run(Script(confidence, (1, 1, 2)), (1, 1, 2), steps=2)
        assert result.token_ids.reshape(-1).tolist() == [0, 101]
        np.testing.assert_allclose(result.confidence.reshape(-1), [0.9, 0.7], rtol=1e-6)

    def test_ties_are_broken_by_index(self) -> None:
        session = Script(np.full((2, 40), 0.5), (1, 2, 20))
        run(session, (1, 2, 20), steps=2)
        assert masked_at(session, 1) == list(range(20))

    @pytest.mark.parametrize(("positions", "steps", "passes"), [(4, 20, 16), (1, 50, 1), (6, 6, 6)])
    def test_it_stops_when_nothing_is_left_to_mask(
        self, positions: int, steps: int, passes: int
    ) -> None:
        session = Script(np.full((steps, positions), 0.5), (1, 1, positions))
        run(session, (1, 1, positions), steps)
        counts = [tokens_to_mask(positions, step, steps) for step in range(steps)]
        assert len(session.seen) == passes == counts.index(0) + 1

    def test_a_group_that_is_done_waits_for_the_others(self) -> None:
        # One position against eight: the first group has its token after one pass.
        confidence = np.full((4, 2, 8, 1), 0.5)
        session = Script(confidence, (2, 8, 1))
        result = run(session, (2, 8, 1), steps=4, regions=(1, 8))
        assert len(session.seen) == 4
        assert result.token_ids[0, 0, 0] == 0
        assert [int((seen[0, 0] == MASK).sum()) for seen in session.seen] == [1, 0, 0, 0]

    def test_missing_regions_neither_count_nor_use_up_the_budget(self) -> None:
        # Slots 1 and 2 of the first group are padding, and of the lowest confidence.
        confidence = [[0.9, 0.8, 0.0, 0.0, 0.0, 0.0], [0.9] * 6]
        session = Script(confidence, (1, 3, 2))
        run(session, (1, 3, 2), steps=2, regions=(1,))
        assert masked_at(session, 1) == [1]

    def test_the_trace_holds_every_step(self) -> None:
        trace = DenoisingTrace()
        session = Script([[0.9, 0.1], [0.6, 0.7]], (1, 1, 2))
        result = run(session, (1, 1, 2), steps=2, trace=trace)
        assert [p.token_ids.reshape(-1).tolist() for p in trace.predictions] == [[0, 1], [100, 101]]
        assert [ids.reshape(-1).tolist() for ids in trace.token_ids] == [[0, 1], [0, 101]]
        np.testing.assert_array_equal(trace.token_ids[-1], result.token_ids)


def published_loop(
    session: RandomSession, tokens: int, regions: int, steps: int
) -> tuple[IntArray, list[IntArray]]:
    """The loop for one group as it is described, one position after the other."""
    current = [MASK] * (tokens * regions)
    sent = []
    for step in range(steps):
        sent.append(np.array(current).reshape(1, regions, tokens))
        prediction = session.predict(sent[-1])
        best = prediction.token_ids.reshape(-1).tolist()
        probability = prediction.confidence.reshape(-1).tolist()
        current = [b if c == MASK else c for b, c in zip(best, current, strict=True)]
        count = int(len(current) * ((steps - 1 - step) / steps))
        if count == 0:
            break
        lowest = sorted(range(len(current)), key=lambda i: (probability[i], i))[:count]
        current = [MASK if i in lowest else token for i, token in enumerate(current)]
    return np.array(current).reshape(1, regions, tokens), sent


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    tokens=st.integers(1, 9),
    regions=st.integers(1, 4),
    steps=st.integers(1, 12),
)
def test_it_does_what_the_description_says(
    seed: int, tokens: int, regions: int, steps: int
) -> None:
    expected, sent = published_loop(RandomSession(seed), tokens, regions, steps)
    trace = DenoisingTrace()
    result = run(RandomSession(seed), (1, regions, tokens), steps, trace=trace)
    np.testing.assert_array_equal(result.token_ids, expected)
    assert len(trace.predictions) == len(sent)
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()
