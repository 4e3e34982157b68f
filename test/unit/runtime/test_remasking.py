"""What every backend masks again, held against the published loop in fp64, on a checkpoint that
predicts the mask token and is surer than fp32 probabilities can say; and decoding by confidence
there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from exported_models import exported
from tensorrt_stand_in.everywhere import EVERYWHERE, load, skip_where_missing
from tiny_checkpoint import (
    picture,
    random_model,
    rectangles,
    save_checkpoint,
    tiny_config,
    tiny_tokenizer,
)

from perceptiondlm_ros.model.checkpoint import save_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, FloatArray, IntArray, ModelInputs
from perceptiondlm_ros.model.published import WEIGHTS
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.backend import Backend, CacheMode
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.onnx_backend import OnnxBackend
from perceptiondlm_ros.runtime.torch_backend import TorchBackend

HEIGHT, WIDTH, TOKENS, STEPS = 60, 80, 6, 6
MASKS = [Region.of_mask(mask) for mask in rectangles(HEIGHT, WIDTH, 5)]
MASK = tiny_tokenizer().mask_id
SURENESS = 30  # by which logits are multiplied

_KEPT: list[TemporaryDirectory[str]] = []


@cache
def checkpoint() -> Path:
    """A third of its predictions are the mask token, by the row of the head of the usual one."""
    _KEPT.append(TemporaryDirectory())
    folder = Path(_KEPT[-1].name)
    config = save_checkpoint(folder, prefix_sees_captions=False)
    model = random_model(config)
    session = TorchBackend(model).start(inputs(), "exact", STEPS)
    best = session.logits(all_masks()).argmax(dim=-1).flatten()
    usual = int(best.mode().values)
    head = model.language.lm_head.weight.data
    head[[MASK, usual]] = SURENESS * head[[usual, MASK]]
    others = [index for index in range(len(head)) if index not in (MASK, usual)]
    head[others] *= SURENESS
    save_model(model, folder / WEIGHTS, dtype=torch.float32)
    return folder


@cache
def inputs() -> ModelInputs:
    """Two groups, one of which is padded."""
    return prepare_inputs(
        picture(HEIGHT, WIDTH),
        [MASKS[:3], MASKS[3:]],
        config=tiny_config(prefix_sees_captions=False),
        tokenizer=tiny_tokenizer(),
        prompt="what?",
        caption_tokens=TOKENS,
    )


def all_masks() -> IntArray:
    """int64 [B, N, M]."""
    return np.full((2, 3, TOKENS), MASK)


@cache
def on_torch() -> TorchBackend:
    return TorchBackend.load(checkpoint(), ModelConfig.from_folder(checkpoint()), "cpu")


def predicted(ids: IntArray) -> tuple[IntArray, FloatArray]:
    """The most probable tokens given these, and the odds against them in fp64, [B, J] each."""
    session = on_torch().start(inputs(), "exact", STEPS)
    logits = session.logits(ids).double().numpy()
    best = logits.argmax(axis=-1)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    np.put_along_axis(weights, best[..., None], 0, axis=-1)
    return best, weights.sum(axis=-1)


def published_loop(single: bool = False) -> Iterator[tuple[IntArray, BoolArray, IntArray]]:
    """Tokens and masked positions after each step, [B, J] each, and the steps so far, [B].

    Args:
        single: whether positions are ranked by probabilities in fp32.
    """

    def least_sure(step: int, odds: FloatArray, masked: BoolArray) -> IntArray:
        sureness = (1 / (1 + odds)).astype(np.float32) if single else -odds
        return np.argsort(sureness, kind="stable")[: int(odds.size * ((STEPS - 1 - step) / STEPS))]

    return loop(least_sure)


def confidence_loop(threshold: float) -> Iterator[tuple[IntArray, BoolArray, IntArray]]:
    """As `published_loop`: what has less probability than the threshold is masked again, of as many
    as the schedule leaves."""

    def unsure(step: int, odds: FloatArray, masked: BoolArray) -> IntArray:
        waiting = np.flatnonzero(masked)
        order = waiting[np.argsort(-odds[waiting], kind="stable")][:-1]
        order = order[: int(odds.size * ((STEPS - 1 - step) / STEPS))]
        return order[1 / (1 + odds[order]) < threshold]

    return loop(unsure)


def loop(
    again: Callable[[int, FloatArray, BoolArray], IntArray],
) -> Iterator[tuple[IntArray, BoolArray, IntArray]]:
    """again: which positions of a group are masked again, by the step, the odds and what is masked,
    without padding."""
    ids = all_masks().reshape(2, -1)
    masked = np.repeat(inputs().active, TOKENS, axis=1)
    steps = np.zeros(2, dtype=np.int64)
    for step in range(STEPS):
        best, odds = predicted(ids.reshape(2, 3, TOKENS))
        ids, steps = np.where(masked, best, ids), steps + masked.any(axis=1)
        for group, regions in enumerate(inputs().regions):
            used = slice(regions * TOKENS)
            chosen = again(step, odds[group, used], masked[group, used])
            masked[group] = np.isin(np.arange(ids.shape[1]), chosen)
        ids = np.where(masked, MASK, ids)
        yield ids, masked.copy(), steps


@pytest.fixture(params=["torch", "onnx", *EVERYWHERE])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "torch":
        return on_torch()
    if request.param == "onnx":
        return OnnxBackend.load(exported(checkpoint()), "cpu")
    skip_where_missing(request.param)
    return load(exported(checkpoint()), request.param)


@pytest.mark.parametrize("mode", ["exact", "prefix"])
@pytest.mark.parametrize("threshold", [None, 0.99, 0.9999])
def test_every_step_masks_what_the_loop_in_fp64_masks(
    backend: Backend, mode: CacheMode, threshold: float | None
) -> None:
    session = backend.start(inputs(), mode, STEPS, threshold)
    expected = published_loop() if threshold is None else confidence_loop(threshold)
    active = inputs().active
    assert session.steps == STEPS
    for ids, masked, steps in expected:  # also after the captions are whole
        session.step()
        state = session.state()
        shape = state.token_ids.shape
        np.testing.assert_array_equal(state.masked[active], masked.reshape(shape)[active])
        np.testing.assert_array_equal(state.token_ids[active], ids.reshape(shape)[active])
        assert state.steps.tolist() == steps.tolist()
        assert state.masked.dtype == np.bool_ and not state.masked[~active].any()


def test_one_threshold_is_reached_early_and_the_other_by_neither_group_at_once() -> None:
    """Else the test above would say nothing about ends and bounds."""
    early, late = ([*confidence_loop(threshold)][-1][2].tolist() for threshold in (0.99, 0.9999))
    assert early[1] < early[0] < STEPS and late[1] < late[0] == STEPS


def test_a_pass_ends_when_nothing_is_masked(backend: Backend) -> None:
    session = backend.start(inputs(), "prefix", STEPS, 0.99)
    launched = 0
    step = session.step

    def count() -> None:
        nonlocal launched
        launched += 1
        step()

    session.step = count  # type: ignore[method-assign]
    ended = denoise(session)
    needed = int(ended.steps.max())
    assert launched == -(-needed // session.look_every) * session.look_every < STEPS


def test_the_mask_token_stays_in_this_case_and_fp32_probabilities_would_mask_others() -> None:
    """Else the test above could not fail."""
    steps, otherwise = list(published_loop()), list(published_loop(single=True))
    assert (steps[-1][0][0] == MASK).any()
    assert any((a[1] != b[1]).any() for a, b in zip(steps, otherwise, strict=True))


def test_a_draft_keeps_the_mask_token_where_it_was_predicted() -> None:
    session = on_torch().start(inputs(), "exact", STEPS)
    session.step()
    session.step()
    state = session.state()
    draft = state.filled()
    unmasked = ~state.masked
    assert (state.token_ids[unmasked] == MASK).any(), "the case is about these"
    np.testing.assert_array_equal(draft.token_ids[unmasked], state.token_ids[unmasked])
    np.testing.assert_array_equal(draft.token_ids[state.masked], state.best_ids[state.masked])
    np.testing.assert_array_equal(draft.confidence[unmasked], state.confidence[unmasked])
    assert not draft.masked.any()
