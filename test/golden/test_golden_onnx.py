"""Parity of exported models with the published implementation, at every denoising step."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from exported_models import exported
from golden_cases import CASES, GoldenCase

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.onnx_backend import Graphs, OnnxBackend
from perceptiondlm_ros.runtime.onnx_devices import OnnxDevice

CACHES: tuple[CacheMode, ...] = ("exact", "prefix")


@cache
def graphs(checkpoint: Path, variant: str) -> Graphs:
    """The CPU's own graphs or the portable ones, both on the CPU."""
    folder = exported(checkpoint)
    manifest = Manifest.read(folder)
    if variant == "portable":
        plain = {name: replace(graph, cpu_file=None) for name, graph in manifest.graphs.items()}
        manifest = replace(manifest, graphs=plain)
    return Graphs.open(folder, manifest, OnnxDevice.resolve("cpu"))


def backend(checkpoint: Path, variant: str) -> OnnxBackend:
    config = ModelConfig.from_folder(checkpoint)
    return OnnxBackend(config, graphs(checkpoint, variant), variant)


@pytest.mark.parametrize("variant", ["cpu", "portable"])
def test_every_step_and_the_final_tokens(golden: GoldenCase, variant: str) -> None:
    session = backend(golden.checkpoint, variant).start(
        golden.inputs(), "exact", golden.case["steps"]
    )
    seen: list[DenoisingState] = []
    result = denoise(session, dict.fromkeys(range(1, session.steps + 1), seen.append))
    steps = np.stack([state.best_ids.reshape(-1) for state in seen])
    np.testing.assert_array_equal(steps, golden.arrays["argmax_per_step"])
    np.testing.assert_array_equal(result.token_ids[0], golden.arrays["caption_ids"])


@pytest.mark.parametrize("variant", ["cpu", "portable"])
def test_prefix_gives_the_same_tokens_where_the_prefix_does_not_see_captions(
    golden: GoldenCase, variant: str
) -> None:
    loaded = backend(golden.checkpoint, variant)
    config = replace(loaded.config, prefix_sees_captions=False)
    own = OnnxBackend(config, graphs(golden.checkpoint, variant), "")
    exact, prefix = (
        denoise(own.start(golden.inputs(), cache, golden.case["steps"])) for cache in CACHES
    )
    np.testing.assert_array_equal(exact.token_ids, prefix.token_ids)


def test_the_mask_matters_in_these_cases() -> None:
    """Else the test above could not fail."""
    golden = next(case for case in CASES if case.folder.name == "photo")
    loaded = backend(golden.checkpoint, "cpu")
    exact, prefix = (
        denoise(loaded.start(golden.inputs(), cache, golden.case["steps"])) for cache in CACHES
    )
    assert (exact.token_ids != prefix.token_ids).any()
