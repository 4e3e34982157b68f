"""Loads exports on every stand-in, and on the real TensorRT where that and a GPU are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tensorrt_stand_in.cuda_runtime import CudaRuntime
from tensorrt_stand_in.module import stand_in
from tensorrt_stand_in.plans import Script, place_engines
from tensorrt_stand_in.versions import RTX, VERSIONS, skip_where_unknown

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu
from perceptiondlm_ros.runtime.tensorrt.engine_spec import ENGINES_VARIABLE
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu
from perceptiondlm_ros.runtime.tensorrt.products import import_tensorrt
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend

REAL = "real"
EVERYWHERE = [*VERSIONS, RTX, pytest.param(REAL, marks=pytest.mark.tensorrt)]

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
            trt, gpu = stand_in(where, script), CudaGpu(CudaRuntime(script.gpu), 0)
            place_engines(folder, trt, gpu)
            return TensorRTBackend.load(folder, gpu, trt=trt)
        return TensorRTBackend.load(folder, "auto")


def skip_where_missing(where: str) -> None:
    """Skip, saying what is missing."""
    if where == REAL:
        try:
            import_tensorrt()
            open_gpu("auto").close()
        except BackendError as error:
            pytest.skip(f"the real TensorRT can't run here: {error}")
    else:
        skip_where_unknown(where)
