"""Stand-ins for the modules of TensorRT where no GPU can be: they execute engines, and build none.

They have the real names and signatures of four versions and compute with ONNX Runtime on host
memory. That code runs against them says that it calls what is there, with arguments that fit, in an
order that the real one accepts too; it says nothing about the real one's speed, memory or numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

from tensorrt_stand_in.api import make_module
from tensorrt_stand_in.plans import Script
from tensorrt_stand_in.running import running
from tensorrt_stand_in.versions import Api, read_api


def stand_in(version: str, script: Script) -> ModuleType:
    """A module of this version on the script's device."""
    number, api = _api(version)
    return make_module(api, number, lambda trt: running(trt, script))


_api: Callable[[str], tuple[str, Api]] = cache(read_api)
