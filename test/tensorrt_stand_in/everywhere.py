"""Loads exports on every stand-in, and on the real TensorRT where that and a GPU are."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tensorrt_stand_in.building import Script
from tensorrt_stand_in.cuda_runtime import CudaRuntime
from tensorrt_stand_in.module import stand_in
from tensorrt_stand_in.versions import API_FOLDER, VERSIONS, api_path

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu
from perceptiondlm_ros.runtime.tensorrt.engine_spec import ENGINES_VARIABLE
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import import_tensorrt

REAL = "real"
EVERYWHERE = [*VERSIONS, pytest.param(REAL, marks=pytest.mark.tensorrt)]

_ENGINES: list[TemporaryDirectory[str]] = []


@cache
def load(folder: Path, where: str) -> TensorRTBackend:
    """An export, once for each place; engines are kept for the test run.

    Args:
        where: a version of the stand-in, or `real`.
    """
    if not _ENGINES:
        _ENGINES.append(TemporaryDirectory())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENGINES_VARIABLE, _ENGINES[0].name)
        if where != REAL:
            script = Script()
            trt = stand_in(where, script)
            return TensorRTBackend.load(folder, CudaGpu(CudaRuntime(script.gpu), 0), trt=trt)
        return TensorRTBackend.load(folder, "auto")


def skip_where_missing(where: str) -> None:
    """Skip, saying what is missing."""
    if where == REAL:
        try:
            import_tensorrt()
            open_gpu("auto").close()
        except BackendError as error:
            pytest.skip(f"the real TensorRT can't run here: {error}")
    elif not api_path(where).is_file() and "CI" not in os.environ:
        pytest.skip(f"the surface of TensorRT {where} is not in {API_FOLDER}")
