"""Parity of the TensorRT backend with the published implementation, at every denoising step: on
stand-ins of TensorRT, which compute with ONNX Runtime, and on the real one where it can run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exported_models import exported
from golden_cases import GoldenCase
from tensorrt_stand_in.everywhere import EVERYWHERE, load, skip_where_missing

from perceptiondlm_ros.processing.model_inputs import group_regions, prepare_inputs
from perceptiondlm_ros.runtime.backend import DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend


@pytest.fixture(params=EVERYWHERE)
def backend(request: pytest.FixtureRequest, golden: GoldenCase) -> TensorRTBackend:
    skip_where_missing(request.param)
    return load(exported(golden.checkpoint), request.param)


def test_every_step_and_the_final_tokens(golden: GoldenCase, backend: TensorRTBackend) -> None:
    session = backend.start(golden.inputs(), "exact", golden.case["steps"])
    seen: list[DenoisingState] = []
    result = denoise(session, dict.fromkeys(range(1, session.steps + 1), seen.append))
    steps = np.stack([state.best_ids.reshape(-1) for state in seen])
    np.testing.assert_array_equal(steps, golden.arrays["argmax_per_step"])
    np.testing.assert_array_equal(result.token_ids[0], golden.arrays["caption_ids"])


def test_padding_to_buckets_gives_the_same_tokens(
    golden: GoldenCase, backend: TensorRTBackend
) -> None:
    (order,) = group_regions(golden.regions, golden.config.slots)
    padded = prepare_inputs(
        golden.image,
        [[golden.regions[index] for index in order]],
        config=golden.config,
        tokenizer=golden.tokenizer,
        prompt=golden.case["prompt"],
        caption_tokens=golden.case["caption_tokens"],
        buckets=backend.buckets,
    )
    result = denoise(backend.start(padded, "exact", golden.case["steps"]))
    tokens = result.token_ids[0, : len(order)]
    np.testing.assert_array_equal(tokens, golden.arrays["caption_ids"])


def test_prefix_gives_the_same_tokens_where_the_prefix_does_not_see_captions(
    golden: GoldenCase, backend: TensorRTBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(backend.config, prefix_sees_captions=False)
    monkeypatch.setattr(backend, "config", config)
    steps = golden.case["steps"]
    exact, prefix = (denoise(backend.start(golden.inputs(), m, steps)) for m in ("exact", "prefix"))
    np.testing.assert_array_equal(exact.token_ids, prefix.token_ids)
