"""Parity with the published implementation, stage by stage, so that a failure names the stage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import CASES, GOLDEN, REMASKING, GoldenCase

from perceptiondlm_ros.model.attention_mask import allowed_attention
from perceptiondlm_ros.processing.model_inputs import group_regions
from perceptiondlm_ros.processing.tiles import choose_grid
from perceptiondlm_ros.runtime.backend import DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.torch_backend import TorchBackend, TorchSession


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Within 1e-4, absolute, or relative to the largest value of the row where that is larger:
    rounding in a dot product grows with the vectors, not with the result. (The golden logits
    themselves are up to 1.2e-4 from an fp64 evaluation.)
    """
    scale = np.maximum(1.0, np.abs(expected).max(axis=-1, keepdims=True))
    assert actual.shape == expected.shape
    error = np.abs(actual - expected) / scale
    assert error.max() <= 1e-4, f"off by {error.max():.2e} of the row's scale"


@pytest.fixture
def session(golden: GoldenCase) -> TorchSession:
    backend = TorchBackend.load(golden.checkpoint, golden.config, "cpu", torch.float32)
    return backend.start(golden.inputs(), "exact", golden.case["steps"])


@pytest.mark.parametrize(("folder", "count"), [(GOLDEN, 14), (REMASKING, 2)])
def test_all_cases_are_found(folder: Path, count: int) -> None:
    if not folder.is_dir() and "CI" not in os.environ:
        pytest.skip(f"no golden cases: {folder} does not exist")
    found = [case for case in CASES if case.checkpoint.parent == folder]
    assert len(found) == count, f"golden cases are expected in {folder}, found {len(found)}"


def test_the_model_predicts_the_mask_token_in_the_cases_about_it() -> None:
    cases = [case for case in CASES if case.checkpoint.parent == REMASKING]
    if not cases:
        pytest.skip(f"no golden cases: {REMASKING} does not exist")
    for case in cases:
        assert case.tokenizer.mask_id in case.arrays["caption_ids"]


def test_regions_are_ordered_by_area(golden: GoldenCase) -> None:
    (order,) = group_regions(golden.regions, golden.config.slots)
    assert order == golden.arrays["mask_order"].tolist()


def test_grid(golden: GoldenCase) -> None:
    height, width = golden.image.shape[:2]
    grid = choose_grid(width, height, golden.config)
    assert [list(grid)] == golden.arrays["aspect_ratio"].tolist()


def test_pixel_values(golden: GoldenCase) -> None:
    close(golden.inputs().tiles, golden.arrays["pixel_values"])


def test_sequence_ids(golden: GoldenCase) -> None:
    np.testing.assert_array_equal(golden.inputs().token_ids, golden.arrays["sequence_ids"])


def test_allowed(golden: GoldenCase) -> None:
    inputs = golden.inputs()
    allowed = allowed_attention(inputs.layout, inputs.real[0], prefix_sees_captions=True)
    np.testing.assert_array_equal(allowed, golden.arrays["allowed"])


def test_visual_tokens(golden: GoldenCase, session: TorchSession) -> None:
    expected = golden.arrays["visual_tokens"]
    tokens = session.visual_rows[0, : golden.inputs().layout.image_tokens]
    close(tokens.numpy().reshape(expected.shape), expected)


def test_inputs_embeds(golden: GoldenCase, session: TorchSession) -> None:
    close(session.embeddings(all_masks(golden)).numpy(), golden.arrays["inputs_embeds"])


def test_logits_of_the_first_step(golden: GoldenCase, session: TorchSession) -> None:
    logits = session.logits(all_masks(golden))
    close(logits[0].numpy(), golden.arrays["logits_step0_masked"])


def test_every_step_and_the_final_tokens(golden: GoldenCase, session: TorchSession) -> None:
    seen: list[DenoisingState] = []
    result = denoise(session, dict.fromkeys(range(1, session.steps + 1), seen.append))
    steps = np.stack([state.best_ids.reshape(-1) for state in seen])
    np.testing.assert_array_equal(steps, golden.arrays["argmax_per_step"])
    np.testing.assert_array_equal(result.token_ids[0], golden.arrays["caption_ids"])


def all_masks(golden: GoldenCase) -> np.ndarray:
    """int64 [1, N, M]."""
    shape = golden.arrays["caption_ids"].shape
    return np.full((1, *shape), golden.tokenizer.mask_id, dtype=np.int64)
