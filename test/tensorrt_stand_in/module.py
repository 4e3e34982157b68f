"""Stand-ins for the module `tensorrt`: what CI runs where TensorRT and a GPU can't be.

They have the real names and signatures of three versions and compute with ONNX Runtime on host
memory. That code runs against them says that it calls what is there, with arguments that fit, in an
order that the real one accepts too; it says nothing about the real one's speed, memory or numbers.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from tensorrt_stand_in.api import Api, make_module, read_api
from tensorrt_stand_in.building import Script, building
from tensorrt_stand_in.running import running
from tensorrt_stand_in.versions import api_path


def stand_in(version: str, script: Script) -> ModuleType:
    """A module `tensorrt` of this version on the script's device."""
    return make_module(
        _api(version), version, lambda trt: {**building(trt, script), **running(trt, script)}
    )


@cache
def _api(version: str) -> Api:
    return read_api(api_path(version))
