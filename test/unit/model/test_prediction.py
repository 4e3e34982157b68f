"""Which predictions a denoising step is sure of, on logits that the test writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from traced_graphs import session_of

from perceptiondlm_ros.export.graphs import Graph
from perceptiondlm_ros.model.denoiser import predict, rank
from perceptiondlm_ros.model.graph_spec import GraphSpec, TensorSpec

VOCABULARY = 32  # a vector at a time: else ONNX Runtime sums equal rows in different orders


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
