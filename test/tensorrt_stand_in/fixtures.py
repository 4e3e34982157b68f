"""Fixtures for tests of code that uses TensorRT."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from tensorrt_stand_in.versions import RTX, VERSIONS, real_rtx, skip_where_unknown

if TYPE_CHECKING:
    from tensorrt_stand_in.plans import Script


@pytest.fixture
def rtx() -> Any:
    """The real module of TensorRT for RTX."""
    return real_rtx()


@pytest.fixture(params=[*VERSIONS, RTX])
def trt_version(request: pytest.FixtureRequest) -> str:
    """Each version whose surface is known."""
    skip_where_unknown(request.param)
    return request.param


@pytest.fixture
def trt_script() -> Script:
    """The stand-in's device and what is to happen there."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tensorrt_stand_in.plans import Script

    return Script()


@pytest.fixture
def trt(trt_version: str, trt_script: Script) -> ModuleType:
    """A stand-in for the module `tensorrt`, or that of TensorRT for RTX."""
    from tensorrt_stand_in.module import stand_in

    return stand_in(trt_version, trt_script)
