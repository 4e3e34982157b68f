"""The TensorRT backend on stand-ins of every version: the captions of ONNX Runtime, engines built
once, and nothing copied between steps."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tensorrt_stand_in.passes import (
    CACHES,
    MASKS,
    STEPS,
    OnStandIn,
    assert_same,
    exported_tiny,
    inputs,
    on_onnx_runtime,
    run,
)

from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise

if TYPE_CHECKING:
    from tensorrt_stand_in.plans import Script


@pytest.mark.parametrize("mode", CACHES)
@pytest.mark.parametrize("groups", [[MASKS[:5]], [MASKS[:4], MASKS[4:]]])
def test_captions_are_those_of_onnx_runtime(
    load: OnStandIn, mode: CacheMode, groups: list[list[np.ndarray]]
) -> None:
    backend = load()
    of = inputs(backend, groups)
    assert (len(of.tiles), of.layout.slots) in {(7, 6), (7, 4)}
    for _ in range(3):  # launched directly, recorded, replayed
        assert_same(run(backend, of, mode), run(on_onnx_runtime(), of, mode))


@pytest.mark.parametrize("mode", CACHES)
def test_every_step_is_that_of_onnx_runtime(load: OnStandIn, mode: CacheMode) -> None:
    backend = load()
    of = inputs(backend, [MASKS[:3]])
    seen: list[list[DenoisingState]] = [[], []]
    for one, states in zip((backend, on_onnx_runtime()), seen, strict=True):
        session = one.start(of, mode, STEPS)
        denoise(session, dict.fromkeys(range(1, session.steps + 1), states.append))
    for actual, expected in zip(*seen, strict=True):
        assert_same(actual, expected)


@pytest.mark.parametrize("mode", CACHES)
def test_nothing_is_copied_between_steps_and_launches_are_recorded(
    load: OnStandIn, trt_script: Script, mode: CacheMode
) -> None:
    backend, gpu = load(), trt_script.gpu
    of = inputs(backend, [MASKS[:3]])
    run(backend, of, mode)
    run(backend, of, mode)
    gpu.copies_to_device = gpu.copies_to_host = gpu.graph_launches = gpu.captures = 0
    session = backend.start(of, mode, STEPS)
    session.step()
    session.step()
    up = gpu.copies_to_device
    for _ in range(session.steps - 2):
        session.step()
    assert (gpu.copies_to_device, gpu.copies_to_host) == (up, 0)
    session.state()
    assert gpu.copies_to_host == len(fields(DenoisingState))
    assert (gpu.graph_launches, gpu.captures) == (session.steps, 0)


def test_an_export_brings_its_buckets_and_the_description_says_what_runs(
    load: OnStandIn, trt: ModuleType
) -> None:
    backend = load()
    assert backend.buckets == Manifest.read(exported_tiny()).buckets
    product = "TensorRT for RTX" if hasattr(trt, "ComputeCapability") else "TensorRT"
    assert backend.description == f"{product} {trt.__version__} on Stand-in GPU, fp32"
