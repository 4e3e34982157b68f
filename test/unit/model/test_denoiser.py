"""A denoising step unmasks captions as published, or by confidence, on predictions that the test
writes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from traced_graphs import session_of

from perceptiondlm_ros.export.graphs import Graph
from perceptiondlm_ros.model.contract import DENOISER, FloatArray, IntArray
from perceptiondlm_ros.model.denoiser import CaptionState, Prediction, unmask
from perceptiondlm_ros.model.graph_spec import GraphSpec, tensor_specs
from perceptiondlm_ros.runtime.denoising import tokens_to_mask
from perceptiondlm_ros.runtime.feeds import remasking_schedule

MASK = 99


@dataclass
class Guess:
    """int64 and float32 [B, N, M]; of a whole pass also the steps of each group, int64 [B]."""

    token_ids: IntArray
    confidence: FloatArray
    steps: IntArray | None = None


@dataclass
class Trace:
    """Each step's guess, and the tokens that it left."""

    predictions: list[Guess] = field(default_factory=list)
    token_ids: list[IntArray] = field(default_factory=list)


class Script:
    """Predicts at step s the tokens s*100 + position with the probabilities of row s.

    saying_mask: pairs of a step and a position where the mask token is predicted instead.
    """

    def __init__(
        self,
        confidence: np.ndarray | list[list[float]],
        shape: tuple[int, ...],
        saying_mask: Collection[tuple[int, int]] = (),
    ) -> None:
        self._confidence = np.asarray(confidence, np.float32).reshape(-1, *shape)
        self._positions = np.arange(np.prod(shape)).reshape(shape)
        self._saying_mask = saying_mask
        self.seen: list[IntArray] = []

    def predict(self, caption_ids: IntArray) -> Guess:
        step = len(self.seen)
        self.seen.append(caption_ids.copy())
        says_mask = np.isin(self._positions, [p for s, p in self._saying_mask if s == step])
        tokens = np.where(says_mask, MASK, step * 100 + self._positions)
        return Guess(tokens, self._confidence[step])


class RandomSession:
    """Tokens, often the mask token, and probabilities from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def predict(self, caption_ids: IntArray) -> Guess:
        shape = caption_ids.shape
        confidence = self._random.integers(0, 5, shape) / 4  # with many ties
        tokens = self._random.integers(0, 50, shape)
        tokens[self._random.random(shape) < 0.2] = MASK
        return Guess(tokens, confidence.astype(np.float32))


def run(
    session: Script | RandomSession,
    shape: tuple[int, int, int],
    steps: int,
    regions: tuple[int, ...] | None = None,
    trace: Trace | None = None,
    threshold: float = np.inf,
    unmask: Callable[..., CaptionState] = unmask,
) -> Guess:
    groups, slots, tokens = shape
    counts = regions or (slots,) * groups
    schedule = remasking_schedule(counts, tokens, steps)
    active = np.repeat(np.arange(slots) < np.asarray(counts)[:, None], tokens, axis=1)
    state = CaptionState(
        torch.full((groups, slots * tokens), MASK),
        torch.ones((groups, slots * tokens), dtype=torch.bool),
        torch.zeros((groups, slots * tokens)),
        torch.zeros(groups, dtype=torch.int64),
    )
    for _ in range(schedule.shape[1]):
        guess = session.predict(state.caption_ids.numpy().reshape(shape))
        confidence = torch.from_numpy(guess.confidence).flatten(1)
        best = Prediction(
            torch.from_numpy(guess.token_ids).flatten(1), (1 - confidence) / confidence
        )
        of_pass = (torch.from_numpy(active), torch.from_numpy(schedule), torch.tensor([threshold]))
        state = unmask(state, best, *of_pass, torch.arange(slots * tokens), MASK)
        if trace is not None:
            trace.predictions.append(guess)
            trace.token_ids.append(state.caption_ids.numpy().reshape(shape))
    steps_taken = state.step.numpy()
    ids, confidence = state.caption_ids.numpy(), state.confidence.numpy()
    return Guess(ids.reshape(shape), confidence.reshape(shape), steps_taken)


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

    def test_a_position_unmasked_with_the_mask_token_is_not_masked(self) -> None:
        confidence = [[0.9, 0.8, 0.1, 0.2], [0.9, 0.2, 0.3, 0.9], [0.9, 0.9, 0.1, 0.9], [0.9] * 4]
        session = Script(confidence, (1, 1, 4), [(0, 0), (1, 3)])
        result = run(session, (1, 1, 4), steps=4)
        assert result.token_ids.reshape(-1).tolist() == [MASK, 201, 302, MASK]
        np.testing.assert_allclose(result.confidence.reshape(-1), 0.9, rtol=1e-6)

    def test_it_can_be_masked_again_as_any_other(self) -> None:
        confidence = [[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.9, 0.9]]
        session = Script(confidence, (1, 1, 2), [(0, 0), (1, 1)])
        result = run(session, (1, 1, 2), steps=4)
        assert result.token_ids.reshape(-1).tolist() == [200, MASK]

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
    masked = set(range(len(current)))
    sent = []
    for step in range(steps):
        sent.append(np.array(current).reshape(1, regions, tokens))
        prediction = session.predict(sent[-1])
        best = prediction.token_ids.reshape(-1).tolist()
        probability = prediction.confidence.reshape(-1).tolist()
        current = [best[i] if i in masked else token for i, token in enumerate(current)]
        count = int(len(current) * ((steps - 1 - step) / steps))
        if count == 0:
            break
        masked = set(sorted(range(len(current)), key=lambda i: (probability[i], i))[:count])
        current = [MASK if i in masked else token for i, token in enumerate(current)]
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


def confidence_loop(
    session: RandomSession,
    shape: tuple[int, int, int],
    regions: tuple[int, ...],
    steps: int,
    threshold: float,
) -> tuple[IntArray, list[int]]:
    """Decoding by confidence as it is described, one position after the other: the tokens, and the
    steps of each group."""
    tokens = shape[2]
    ids = np.full((shape[0], shape[1] * tokens), MASK)
    masked = [set(range(count * tokens)) for count in regions]
    taken = [0] * len(regions)
    for step in range(steps):
        guess = session.predict(ids.reshape(shape))
        best, probability = (a.reshape(ids.shape) for a in (guess.token_ids, guess.confidence))
        for group, places in enumerate(masked):
            taken[group] += bool(places)
            sure = {i for i in places if probability[group, i] >= threshold}
            order = sorted(places, key=lambda i, p=probability[group]: (p[i], i))
            left = tokens_to_mask(regions[group] * tokens, step, steps)
            sure |= {*order[left:], *order[-1:]}
            for place in sure:
                ids[group, place] = best[group, place]
            masked[group] = places - sure
    return ids.reshape(shape), taken


class Unmasking(nn.Module):
    """`unmask`, on what a session predicts."""

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        state = CaptionState(*(inputs[name] for name in CaptionState._fields))
        best = Prediction(inputs["best_ids"], inputs["odds_against"])
        of_pass = (inputs[name] for name in ("active", "schedule", "threshold", "order"))
        return tuple(unmask(state, best, *of_pass, MASK))


@cache
def unmasking_graph() -> onnxruntime.InferenceSession:
    own = tensor_specs("""
        rows  best_ids      int64    groups, captions
        rows  odds_against  float32  groups, captions
        rows  order         int64    captions
    """)
    of_pass = [*DENOISER.of("state"), *DENOISER.of("pass")]
    spec = GraphSpec("unmasking", inputs=(*own, *of_pass), results=())
    return session_of(Graph.of(spec, Unmasking(), {}, 0, torch.float32))


def unmask_in_the_graph(state: CaptionState, best: Prediction, *rest: Any) -> CaptionState:
    of_pass = dict(zip(("active", "schedule", "threshold", "order"), rest[:-1], strict=True))
    feed = {**state._asdict(), **best._asdict(), **of_pass}
    found = unmasking_graph().run(None, {name: value.numpy() for name, value in feed.items()})
    return CaptionState(*map(torch.from_numpy, found))


@pytest.mark.parametrize("form", [unmask, unmask_in_the_graph])
@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    tokens=st.integers(1, 7),
    regions=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    steps=st.integers(1, 12),
    threshold=st.sampled_from([0.2, 0.25, 0.5, 0.6, 0.9, 1.0]),
)
def test_decoding_by_confidence_does_what_its_description_says(
    form: Callable[..., CaptionState],
    seed: int,
    tokens: int,
    regions: tuple[int, ...],
    steps: int,
    threshold: float,
) -> None:
    shape = (len(regions), 3, tokens)
    expected, taken = confidence_loop(RandomSession(seed), shape, regions, steps, threshold)
    found = run(RandomSession(seed), shape, steps, regions, threshold=threshold, unmask=form)
    active = np.arange(3) < np.array(regions)[:, None]
    np.testing.assert_array_equal(found.token_ids[active], expected[active])
    assert found.steps is not None and found.steps.tolist() == taken
