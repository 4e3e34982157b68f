"""A denoising step settles captions as published, on predictions that the test writes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.model.contract import FloatArray, IntArray
from perceptiondlm_ros.model.denoiser import CaptionState, Prediction, predict, settle
from perceptiondlm_ros.runtime.feeds import remasking_schedule

MASK = 99


@dataclass
class Guess:
    """int64 and float32 [B, N, M]."""

    token_ids: IntArray
    confidence: FloatArray


@dataclass
class Trace:
    """Each step's guess, and the tokens that it left."""

    predictions: list[Guess] = field(default_factory=list)
    token_ids: list[IntArray] = field(default_factory=list)


class Script:
    """Predicts at step s the tokens s*100 + position with the probabilities of row s."""

    def __init__(self, confidence: np.ndarray | list[list[float]], shape: tuple[int, ...]) -> None:
        self._confidence = np.asarray(confidence, np.float32).reshape(-1, *shape)
        self._positions = np.arange(np.prod(shape)).reshape(shape)
        self.seen: list[IntArray] = []

    def predict(self, caption_ids: IntArray) -> Guess:
        step = len(self.seen)
        self.seen.append(caption_ids.copy())
        return Guess(step * 100 + self._positions, self._confidence[step])


class RandomSession:
    """Tokens and probabilities from a seed, the same for the same tokens so far."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def predict(self, caption_ids: IntArray) -> Guess:
        shape = caption_ids.shape
        confidence = self._random.integers(0, 5, shape) / 4  # with many ties
        return Guess(self._random.integers(0, 50, shape), confidence.astype(np.float32))


def run(
    session: Script | RandomSession,
    shape: tuple[int, int, int],
    steps: int,
    regions: tuple[int, ...] | None = None,
    trace: Trace | None = None,
) -> Guess:
    groups, slots, tokens = shape
    counts = regions or (slots,) * groups
    schedule = remasking_schedule(counts, tokens, steps)
    active = np.repeat(np.arange(slots) < np.asarray(counts)[:, None], tokens, axis=1)
    state = CaptionState(
        torch.full((groups, slots * tokens), MASK),
        torch.zeros((groups, slots * tokens)),
        torch.zeros(1, dtype=torch.int64),
    )
    for _ in range(schedule.shape[1]):
        guess = session.predict(state.caption_ids.numpy().reshape(shape))
        best = Prediction(
            torch.from_numpy(guess.token_ids).flatten(1),
            torch.from_numpy(guess.confidence).flatten(1),
        )
        order = torch.arange(slots * tokens)
        state = settle(
            state, best, torch.from_numpy(active), torch.from_numpy(schedule), order, MASK
        )
        if trace is not None:
            trace.predictions.append(guess)
            trace.token_ids.append(state.caption_ids.numpy().reshape(shape))
    return Guess(state.caption_ids.numpy().reshape(shape), state.confidence.numpy().reshape(shape))


def masked_at(session: Script, step: int) -> list[int]:
    return np.flatnonzero(session.seen[step].reshape(-1) == MASK).tolist()


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
        assert len(session.seen) == passes

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
        trace = Trace()
        session = Script([[0.9, 0.1], [0.6, 0.7]], (1, 1, 2))
        result = run(session, (1, 1, 2), steps=2, trace=trace)
        assert [p.token_ids.reshape(-1).tolist() for p in trace.predictions] == [[0, 1], [100, 101]]
        assert [ids.reshape(-1).tolist() for ids in trace.token_ids] == [[0, 99], [0, 101]]
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
    trace = Trace()
    result = run(RandomSession(seed), (1, regions, tokens), steps, trace=trace)
    np.testing.assert_array_equal(result.token_ids, expected)
    assert len(trace.predictions) == len(sent)
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()


def test_the_most_probable_token_and_its_softmax_probability() -> None:
    logits = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(3)) * 4
    best_ids, best_confidence = predict(logits)
    confidence, ids = logits.double().softmax(dim=-1).max(dim=-1)
    assert torch.equal(best_ids, ids)
    torch.testing.assert_close(best_confidence, confidence.float())


def test_probabilities_of_huge_logits_stay_within_0_and_1() -> None:
    confidence = predict(torch.tensor([[[1e30, 0.0], [1e30, 1e30], [-1e30, -1e30]]]))[1]
    assert confidence.tolist() == [[1.0, 0.5, 0.5]]
