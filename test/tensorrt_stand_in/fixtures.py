"""Fixtures for tests of code that uses TensorRT."""

from __future__ import annotations

import os
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from tensorrt_stand_in.versions import API_FOLDER, VERSIONS, api_path

if TYPE_CHECKING:
    from tensorrt_stand_in.building import Script


@pytest.fixture(params=VERSIONS)
def trt_version(request: pytest.FixtureRequest) -> str:
    """Each version whose surface is known."""
    if not api_path(request.param).is_file() and "CI" not in os.environ:
        pytest.skip(f"the surface of TensorRT {request.param} is not in {API_FOLDER}")
    return request.param


@pytest.fixture
def trt_script() -> Script:
    """The stand-in's device and what is to happen there."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tensorrt_stand_in.building import Script

    return Script()


@pytest.fixture
def trt(trt_version: str, trt_script: Script) -> ModuleType:
    """A stand-in for the module `tensorrt`."""
    from tensorrt_stand_in.module import stand_in

    return stand_in(trt_version, trt_script)
