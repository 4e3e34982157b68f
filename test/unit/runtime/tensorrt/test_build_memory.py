"""Memory and disk are looked at before a build, and the message says what would fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.runtime.tensorrt.build_memory import (
    check_disk,
    check_load,
    check_memory,
    free_memory,
)
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import failure
from perceptiondlm_ros.text import GIB

ORIN = GpuInfo("Orin", (8, 7), "12.6", 64 * GIB, 3 * GIB, shared=True)
SPEC = EngineSpec("denoiser", Path("denoiser.onnx"), "0", 16 * GIB, "bf16", ())


def test_a_build_that_fits_is_not_remarked_on() -> None:
    assert check_memory(SPEC, ORIN, 40 * GIB) is None


def test_a_build_that_may_not_fit_is_warned_of() -> None:
    warning = check_memory(SPEC, ORIN, 36 * GIB)
    assert warning is not None
    assert "takes 32.0 GiB to 40.0 GiB" in warning and "36.0 GiB of 64.0 GiB are free" in warning


def test_a_build_that_can_not_fit_is_refused_with_what_fits() -> None:
    with pytest.raises(
        OutOfMemoryError, match=r"weights of up to 10\.0 GiB fit.*smaller checkpoint"
    ):
        check_memory(SPEC, ORIN, 20 * GIB)


def test_half_precision_is_advised_where_it_would_fit() -> None:
    wide = replace(SPEC, precision="fp32")
    with pytest.raises(OutOfMemoryError, match="--precision bf16 or fp16, which fits"):
        check_memory(wide, ORIN, 20 * GIB)
    with pytest.raises(OutOfMemoryError, match="smaller checkpoint"):
        check_memory(wide, ORIN, 15 * GIB)


def test_small_numbers_are_told_in_smaller_units() -> None:
    with pytest.raises(OutOfMemoryError, match=r"10 MiB of weights.* 5\.0 MiB fit"):
        check_memory(replace(SPEC, weight_bytes=10 * 2**20), ORIN, 10 * 2**20)


@pytest.mark.parametrize(("available", "free"), [(40 * GIB, 40 * GIB), (GIB, ORIN.free)])
def test_a_jetson_has_what_its_system_could_give(
    available: int, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()._replace(available=available)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert free_memory(ORIN) == free
    assert free_memory(replace(ORIN, shared=False)) == ORIN.free


def test_an_engine_that_does_not_fit_is_not_loaded() -> None:
    gpu = replace(ORIN, shared=False)
    check_load("denoiser", 2 * GIB, gpu)
    with pytest.raises(
        OutOfMemoryError, match=r"takes 4\.0 GiB, and 3\.0 GiB of 64\.0 GiB are free"
    ):
        check_load("denoiser", 4 * GIB, gpu)


def test_the_disk_must_hold_the_engine(tmp_path: Path) -> None:
    check_disk(replace(SPEC, weight_bytes=1000), tmp_path)
    with pytest.raises(BackendError, match="PERCEPTIONDLM_ENGINES"):
        check_disk(replace(SPEC, weight_bytes=2**60), tmp_path)


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)", OutOfMemoryError),
        ("CUDNN_STATUS_ALLOC_FAILED", OutOfMemoryError),
        ("Could not find any implementation for node", BackendError),
    ],
)
def test_what_tensorrt_says_of_memory_is_an_error_of_memory(why: str, kind: type) -> None:
    error = failure(why, f"TensorRT failed: {why}; load the model again")
    assert type(error) is kind
    assert str(error) == f"TensorRT failed: {why}; load the model again"
