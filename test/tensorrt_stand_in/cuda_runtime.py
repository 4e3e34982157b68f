"""A stand-in for the module `cuda.bindings.runtime` on the fake GPU.

It has the functions that the package calls, with the arguments and return values that cuda-bindings
12.9 and 13.5 have: a tuple that begins with the error. Where cuda-bindings is installed, each call
also goes to the real function, which refuses arguments that it doesn't take, GPU or not.
"""

# Names are those of CUDA.
# ruff: noqa: N801, N802, N815
from __future__ import annotations

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import numpy as np
from tensorrt_stand_in.gpu import FakeGpu, FakeGpuError, Work


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class Handle:
    """As the real ones: a type of its own, that `int` gives the value of."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value

    def __int__(self) -> int:
        return int(self.value)


class _Failed(Exception):  # noqa: N818
    """Makes a call give an error."""


class CudaRuntime:
    """Args:
    gpu: the device.
    error: what every function gives instead of doing anything.
    real: the real module, on a machine without a GPU.
    """

    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode
    cudaStreamNonBlocking = 1

    def __init__(self, gpu: FakeGpu, error: int = 0, real: Any = None) -> None:
        self.gpu, self.error, self.real = gpu, error, real
        self.graphs = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("cuda") or isinstance(found, (type, int)):
            return found

        def call(*arguments: Any) -> Any:
            if self.real is not None:
                getattr(self.real, name)(*(_as_real(self.real, value) for value in arguments))
            explains = name in ("cudaGetErrorString", "cudaGetLastError")
            try:
                if self.error and not explains:
                    raise _Failed(self.error)
                return (cudaError_t.cudaSuccess, *(found(*arguments) or ()))
            except _Failed as failed:
                return (cudaError_t(failed.args[0]), *[None] * _RESULTS.get(name, 0))

        return call

    def cudaGetDeviceCount(self) -> Any:
        return (1,)

    def cudaSetDevice(self, device: int) -> Any:
        assert device == 0

    def cudaGetDeviceProperties(self, device: int) -> Any:
        major, minor = self.gpu.compute
        name = self.gpu.name.encode()
        return (SimpleNamespace(name=name, major=major, minor=minor, integrated=0),)

    def cudaMemGetInfo(self) -> Any:
        return self.gpu.memory - self.gpu.used, self.gpu.memory

    def cudaRuntimeGetVersion(self) -> Any:
        return (12060,)

    def cudaGetLastError(self) -> Any: ...

    def cudaGetErrorString(self, error: Any) -> Any:
        return (cudaError_t(error).name.encode(),)

    def cudaMalloc(self, size: int) -> Any:
        try:
            return (self.gpu.allocate(size),)
        except MemoryError:
            raise _Failed(cudaError_t.cudaErrorMemoryAllocation) from None

    def cudaFree(self, pointer: int) -> Any:
        self.gpu.free(pointer)

    def cudaMemsetAsync(self, pointer: int, value: int, count: int, stream: Any) -> Any:
        def run() -> None:
            self.gpu.view(pointer, count)[:] = value

        self.gpu.submit(int(stream), Work(run, (pointer,)))

    def cudaMemcpyAsync(
        self, target: int, source: int, count: int, kind: cudaMemcpyKind, stream: Any
    ) -> Any:
        down = kind == cudaMemcpyKind.cudaMemcpyDeviceToHost
        up = kind == cudaMemcpyKind.cudaMemcpyHostToDevice
        if (up or down) and self.gpu.capturing(int(stream)):
            raise FakeGpuError("the host's memory may be gone when a graph runs")
        self.gpu.copies_to_device += up
        self.gpu.copies_to_host += down
        # Pageable memory is read before this returns.
        content = _host(source, count).copy() if up else None

        def run() -> None:
            given = self.gpu.view(source, count) if content is None else content
            (_host(target, count) if down else self.gpu.view(target, count))[:] = given

        touched = (*([] if down else [target]), *([] if up else [source]))
        self.gpu.submit(int(stream), Work(run, touched))

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        return (Handle("cudaStream_t", self.gpu.create_stream()),)

    def cudaStreamDestroy(self, stream: Any) -> Any:
        self.gpu.destroy_stream(int(stream))

    def cudaStreamSynchronize(self, stream: Any) -> Any:
        self.gpu.synchronize(int(stream))

    def cudaStreamBeginCapture(self, stream: Any, mode: cudaStreamCaptureMode) -> Any:
        assert isinstance(mode, cudaStreamCaptureMode)
        self.gpu.begin_capture(int(stream))

    def cudaStreamEndCapture(self, stream: Any) -> Any:
        self.graphs += 1
        return (Handle("cudaGraph_t", self.gpu.end_capture(int(stream))),)

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> Any:
        self.graphs += 1
        return (Handle("cudaGraphExec_t", graph.value),)

    def cudaGraphLaunch(self, executable: Handle, stream: Any) -> Any:
        if executable.value is None:
            raise FakeGpuError("a graph was launched after it had been destroyed")
        self.gpu.launch(executable.value, int(stream))

    def cudaGraphExecDestroy(self, executable: Handle) -> Any:
        self.graphs -= 1
        executable.value = None

    def cudaGraphDestroy(self, graph: Handle) -> Any:
        self.graphs -= 1


def _host(address: int, count: int) -> np.ndarray:
    """uint8 [count] at an address of this process."""
    return np.frombuffer((ctypes.c_uint8 * count).from_address(address), dtype=np.uint8)


def _as_real(real: Any, value: Any) -> Any:
    """An argument of the type that the real function takes, that points nowhere."""
    if isinstance(value, Handle):
        return getattr(real, value.kind)(0)
    if isinstance(value, enum.Enum):
        return getattr(getattr(real, type(value).__name__), value.name)
    return 0


_RESULTS = {
    **dict.fromkeys(("cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaMalloc"), 1),
    **dict.fromkeys(("cudaStreamEndCapture", "cudaGraphInstantiate", "cudaRuntimeGetVersion"), 1),
    **dict.fromkeys(("cudaStreamCreateWithFlags",), 1),
    "cudaMemGetInfo": 2,
}
"""How many values follow the error, where there are any."""
