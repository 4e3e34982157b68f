"""A denoising step unmasks captions as published, on predictions that the test writes; and which
predictions it is sure of, on logits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorrt_parser import refused
from torch import Tensor, nn

from perceptiondlm_ros.export import onnx_files
from perceptiondlm_ros.export.graphs import Graph
from perceptiondlm_ros.model.contract import DENOISER, FloatArray, IntArray
from perceptiondlm_ros.model.denoiser import CaptionState, Prediction, predict, rank, unmask
from perceptiondlm_ros.model.graph_spec import GraphSpec, TensorSpec, tensor_specs
from perceptiondlm_ros.runtime.feeds import remasking_schedule

MASK = 99
VOCABULARY = 32  # a vector at a time: else ONNX Runtime sums equal rows in different orders


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
    if threshold <= 1:
        schedule = np.repeat([[slots * tokens] * (steps - 1) + [0]], groups, axis=0)
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
            sure |= set(sorted(places, key=lambda i, p=probability[group]: (p[i], i))[-1:])
            for place in places if step == steps - 1 else sure:
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


class Sampling(nn.Module):
    """What follows the logits in a step, fp32 [B, J, V]: the predictions, and how many positions
    come before each one when the least sure come first."""

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        prediction = predict(inputs["logits"])
        ranks = rank(prediction.odds_against, inputs["active"], inputs["order"])
        return prediction.best_ids, prediction.best_confidence, ranks


Sample = Callable[[np.ndarray], tuple[np.ndarray, ...]]
"""fp32 [B, J, V] to the results of `Sampling` for positions that are all active."""


def in_torch(logits: np.ndarray) -> tuple[np.ndarray, ...]:
    active = torch.ones(logits.shape[:2], dtype=torch.bool)
    order = torch.arange(logits.shape[1])
    inputs = {"logits": torch.from_numpy(logits), "active": active, "order": order}
    return tuple(tensor.numpy() for tensor in Sampling()(inputs))


@cache
def graph() -> onnxruntime.InferenceSession:
    positions, order = ("groups", "captions"), ("captions",)
    spec = GraphSpec(
        "sampling",
        inputs=(
            TensorSpec("rows", "logits", "float32", (*positions, str(VOCABULARY))),
            TensorSpec("rows", "active", "bool", positions),
            TensorSpec("rows", "order", "int64", order),
        ),
        results=(
            TensorSpec("prediction", "best_ids", "int64", positions),
            TensorSpec("prediction", "best_confidence", "float32", positions),
            TensorSpec("prediction", "ranks", "int64", positions),
        ),
    )
    return session_of(Graph.of(spec, Sampling(), {}, 0, torch.float32))


def session_of(graph: Graph) -> onnxruntime.InferenceSession:
    model = onnx_ir.to_proto(onnx_files.trace(graph))
    assert not refused(model), "TensorRT's parser takes it"
    return onnxruntime.InferenceSession(model.SerializeToString())


def in_the_graph(logits: np.ndarray) -> tuple[np.ndarray, ...]:
    feed = {
        "logits": logits,
        "active": np.ones(logits.shape[:2], dtype=np.bool_),
        "order": np.arange(logits.shape[1]),
    }
    return tuple(graph().run(None, feed))


def softmax(logits: np.ndarray) -> np.ndarray:
    """In fp64, whatever comes."""
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("sample", [in_torch, in_the_graph])
class TestSureness:
    def test_the_most_probable_token_and_its_softmax_probability(self, sample: Sample) -> None:
        logits = np.random.default_rng(3).standard_normal((2, 5, VOCABULARY)).astype(np.float32) * 4
        best_ids, best_confidence, _ = sample(logits)
        np.testing.assert_array_equal(best_ids, logits.argmax(axis=-1))
        np.testing.assert_allclose(best_confidence, softmax(logits).max(axis=-1), rtol=1e-6)

    def test_probabilities_of_huge_logits_stay_within_0_and_1(self, sample: Sample) -> None:
        logits = np.full((1, 3, VOCABULARY), -np.inf, dtype=np.float32)
        logits[0, :, :2] = [[1e30, 0.0], [1e30, 1e30], [-1e30, -1e30]]
        assert sample(logits)[1].tolist() == [[1.0, 0.5, 0.5]]

    def test_the_order_is_that_of_fp64_where_fp32_has_1_everywhere(self, sample: Sample) -> None:
        logits = np.zeros((1, 6, VOCABULARY), dtype=np.float32)
        logits[0, np.arange(6), [0, 29, 3, 3, 17, 8]] = [24.0, 21.5, 27.0, 22.5, 30.0, 21.0]
        probability = softmax(logits).max(axis=-1)
        assert (probability.astype(np.float32) == 1).all(), "the case is about these"
        assert len(set(probability.ravel())) == 6
        _, best_confidence, ranks = sample(logits)
        assert (best_confidence == 1).all()
        assert np.argsort(ranks[0]).tolist() == np.argsort(probability[0]).tolist()

    def test_of_several_equal_logits_one_is_left_out_of_the_sum(self, sample: Sample) -> None:
        logits = np.full((1, 3, VOCABULARY), -90.0, dtype=np.float32)
        for position, best in enumerate(([4], [4, 9], [4, 9, 29])):
            logits[0, position, best] = 5.0
        _, best_confidence, ranks = sample(logits)
        np.testing.assert_allclose(best_confidence[0], [1, 1 / 2, 1 / 3], rtol=1e-6)
        assert ranks[0].tolist() == [2, 1, 0]

    def test_equal_rows_go_by_position(self, sample: Sample) -> None:
        logits = np.random.default_rng(0).standard_normal((2, 1, VOCABULARY)).astype(np.float32)
        ranks = sample(np.repeat(logits, 7, axis=1))[2]
        np.testing.assert_array_equal(ranks, np.tile(np.arange(7), (2, 1)))

    @settings(max_examples=150)
    @given(
        seed=st.integers(0, 2**32),
        positions=st.integers(1, 12),
        spread=st.floats(0, 60),
        lead=st.floats(0, 60),
        double=st.booleans(),
    )
    def test_the_order_is_that_of_fp64_wherever_that_is_clear(
        self, sample: Sample, seed: int, positions: int, spread: float, lead: float, double: bool
    ) -> None:
        random = np.random.default_rng(seed)
        logits = random.standard_normal((1, positions, VOCABULARY)) * spread
        best = random.integers(0, VOCABULARY - 1, positions)
        places = np.arange(positions)
        logits[0, places, best] = logits[0].max(axis=-1) + lead * random.random(positions)
        if double:
            logits[0, places, best + 1] = logits[0, places, best]
        logits = logits.astype(np.float32)
        share = softmax(logits)[0]
        probability = share.max(axis=-1)
        share[places, share.argmax(axis=-1)] = 0
        odds = share.sum(axis=-1) / probability
        ranks = sample(logits)[2][0]
        assert sorted(ranks) == list(range(positions))
        for one, other in permutations(range(positions), 2):
            clear = odds[one] > odds[other] * (1 + 1e-4)
            if probability[one] < probability[other] and clear:
                assert ranks[one] < ranks[other]
