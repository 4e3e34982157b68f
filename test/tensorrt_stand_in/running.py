"""What the stand-in's runtime half does: engines and contexts that compute with ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from tensorrt_stand_in.api import make, state
from tensorrt_stand_in.gpu import FakeGpuError, Work
from tensorrt_stand_in.plans import Script, unpack
from tensorrt_stand_in.symbols import size_of, sizes_of

from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.products import targets

_NUMPY = {"FLOAT": np.float32, "INT64": np.int64, "INT32": np.int32, "BOOL": np.bool_}
_SCRATCH = 1000
"""Bytes of scratch memory for each query row, so that its size depends on the shapes."""


def running(trt: ModuleType, script: Script) -> dict[str, type]:
    """Behaviours of the classes that run."""

    class Runtime:
        def init(self, logger: Any) -> None:
            state(self).log = logger

        def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
            settings = unpack(bytes(memoryview(serialized_engine)))
            problem = _unusable(trt, script, settings)
            if settings is None or problem:
                state(self).log.log(trt.ILogger.Severity.ERROR, problem)
                return None
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(
                settings["onnx"], options, providers=["CPUExecutionProvider"]
            )
            return make(trt.ICudaEngine, settings=settings, session=session)

    class IRuntimeConfig:
        def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
            state(self).strategy = strategy

    class ICudaEngine:
        _versions = ("create_runtime_config",)

        def num_io_tensors(self) -> int:
            return len(_tensors(self))

        def get_tensor_name(self, index: int) -> str:
            return list(_tensors(self))[index]

        def get_tensor_mode(self, name: str) -> Any:
            is_input = name in state(self).settings["inputs"]
            return trt.TensorIOMode.INPUT if is_input else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return trt.DataType[_tensors(self)[name]["dtype"]]

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
            shapes = state(self).settings["profiles"][profile_index][name]
            return [make(trt.Dims, sizes=tuple(shape)) for shape in shapes]

        def create_runtime_config(self) -> Any:
            return make(trt.IRuntimeConfig, strategy=None)

        def create_execution_context(self, strategy: Any = None, runtime_config: Any = None) -> Any:
            strategy = strategy or state(runtime_config).strategy
            assert strategy is trt.ExecutionContextAllocationStrategy.USER_MANAGED
            return make(
                trt.IExecutionContext, engine=self, profile=None, shapes={}, addresses={},
                scratch=None, version=0, ran=-1,
            )  # fmt: skip

    newer = {} if trt.__version__ == "10.3.0" else {"IRuntimeConfig": IRuntimeConfig}
    return {
        **newer,
        "Runtime": Runtime,
        "ICudaEngine": ICudaEngine,
        "IExecutionContext": _context(trt, script),
        "Dims": _dims(),
    }


def _context(trt: ModuleType, script: Script) -> type:
    gpu = script.gpu

    class IExecutionContext:
        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            gpu.stream(stream_handle)
            profiles = state(state(self).engine).settings["profiles"]
            if not 0 <= profile_index < len(profiles):
                return False
            vars(state(self)).update(profile=profile_index, shapes={})
            return _changed(self)

        def set_input_shape(self, name: str, shape: Any) -> bool:
            context = state(self)
            least, _, most = state(context.engine).settings["profiles"][context.profile][name]
            context.shapes[name] = tuple(shape)
            inside = len(shape) == len(least) and all(
                a <= size <= c for a, size, c in zip(least, shape, most, strict=True)
            )
            return _changed(self) and inside

        def infer_shapes(self) -> list[str]:
            return [n for n in _inputs(state(self)) if n not in state(self).shapes]

        def get_tensor_shape(self, name: str) -> Any:
            context = state(self)
            tensor = _tensors(context.engine)[name]
            sizes = sizes_of(_inputs(context), context.shapes)
            shape = context.shapes.get(name) or [size_of(axis, sizes) for axis in tensor["shape"]]
            return make(trt.Dims, sizes=tuple(shape))

        def update_device_memory_size_for_shapes(self) -> int:
            assert not IExecutionContext.infer_shapes(self), "shapes come first"
            return _scratch(state(self))

        def set_device_memory(self, memory: int, size: int) -> None:
            gpu.view(memory, size)
            state(self).scratch = (memory, size)
            _changed(self)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            gpu.view(memory, 0)
            state(self).addresses[name] = memory
            return name in _tensors(state(self).engine) and _changed(self)

        def execute_async_v3(self, stream_handle: int) -> bool:
            context = state(self)
            if script.refuse_capture and gpu.capturing(stream_handle):
                return False
            problem = _not_ready(script, context, stream_handle)
            if problem:
                raise FakeGpuError(problem)
            context.ran = context.version
            gpu.submit(stream_handle, _work(script, context))
            return True

    return IExecutionContext


def _changed(context: Any) -> bool:
    state(context).version += 1
    return True


def _not_ready(script: Script, context: Any, stream: int) -> str | None:
    gpu = script.gpu
    missing = [n for n in _inputs(context) if n not in context.shapes]
    if missing:
        return f"no shapes for {missing}"
    without = [n for n in _tensors(context.engine) if n not in context.addresses]
    if without:
        return f"no addresses for {without}"
    if context.scratch is None or context.scratch[1] < _scratch(context):
        return f"scratch memory {context.scratch} is less than {_scratch(context)} bytes"
    if gpu.capturing(stream) and context.ran != context.version:
        return "captured before it ran once with these shapes"
    return None


def _work(script: Script, context: Any) -> Work:
    """What this launch does, with the shapes and addresses of now."""
    gpu, session = script.gpu, state(context.engine).session
    settings = state(context.engine).settings
    shapes, addresses = dict(context.shapes), dict(context.addresses)
    version = context.version

    def run() -> None:
        feed = {
            name: _array(gpu, addresses[name], shapes[name], tensor["dtype"])
            for name, tensor in settings["inputs"].items()
        }
        results = session.run(list(settings["outputs"]), feed)
        for name, result in zip(settings["outputs"], results, strict=True):
            content = np.ascontiguousarray(result).reshape(-1).view(np.uint8)
            gpu.view(addresses[name], content.size)[:] = content
        gpu.view(context.scratch[0], context.scratch[1])[:] = 0x5A

    touched = (*addresses.values(), context.scratch[0])
    return Work(run, touched, lambda: context.version == version)


def _array(gpu: Any, address: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    kind = np.dtype(_NUMPY[dtype])
    return gpu.view(address, int(np.prod(shape)) * kind.itemsize).view(kind).reshape(shape)


def _unusable(trt: ModuleType, script: Script, settings: dict[str, Any] | None) -> str:
    if settings is None:
        return "the plan is damaged"
    gpu = GpuInfo(script.gpu.name, script.gpu.compute, "", 0, 0, shared=False)
    if settings["target"] not in [
        [target.tensorrt, target.compute] for target in targets(trt, gpu)
    ]:
        return f"the plan is for {settings['target']}"
    digest = hashlib.sha256(Path(settings["onnx"]).read_bytes()).hexdigest()
    return "" if digest == settings["sha256"] else "the stand-in's ONNX file has changed"


def _tensors(engine: Any) -> dict[str, Any]:
    settings = state(engine).settings
    return {**settings["inputs"], **settings["outputs"]}


def _inputs(context: Any) -> dict[str, Any]:
    return state(context.engine).settings["inputs"]


def _scratch(context: Any) -> int:
    return _SCRATCH * sum(shape[-1] for shape in context.shapes.values())


def _dims() -> type:
    class Dims:
        def init(self, shape: Any = ()) -> None:
            state(self).sizes = tuple(shape)

        def __len__(self) -> int:
            return len(state(self).sizes)

        def __getitem__(self, index: int) -> int:
            return state(self).sizes[index]

        def __iter__(self) -> Any:
            return iter(state(self).sizes)

    return Dims
