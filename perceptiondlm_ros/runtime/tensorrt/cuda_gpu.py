"""A GPU through cuda-python: a small package without dependencies, on a Jetson as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.gpu import (
    Buffer,
    CaptureError,
    GpuInfo,
    cuda_version,
    driver_cuda_version,
    out_of_memory,
)

_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
_NO_DRIVER = {35: "no driver, or one too old", 100: "no GPU"}


def import_cuda_runtime() -> Any:
    """The module with CUDA's runtime functions.

    Raises:
        ImportError: cuda-python isn't installed.
    """
    try:
        from cuda.bindings import runtime
    except ImportError:
        from cuda import cudart as runtime  # its name before cuda-python 12.8, gone in 13
    return runtime


class CudaGpu:
    """See `gpu.Gpu`.

    Args:
        runtime: the module, see `import_cuda_runtime`.
        index: of the GPU.

    Raises:
        BackendError: there is no such GPU, or no driver for it.
    """

    def __init__(self, runtime: Any, index: int) -> None:
        self._cuda, self._index = runtime, index
        count = self._call("cudaGetDeviceCount")
        if index >= count:
            raise BackendError(
                f"device is 'cuda:{index}', but the driver knows {count} GPUs; give one from 0 to "
                f"{count - 1}"
            )
        self.activate()
        # Work on this stream doesn't wait for the default stream, which can't be captured.
        self._stream = self._call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
        self.stream = int(self._stream)

    def info(self) -> GpuInfo:
        properties = self._call("cudaGetDeviceProperties", self._index)
        free, total = self._call("cudaMemGetInfo")
        return GpuInfo(
            name=properties.name.decode(errors="replace").rstrip("\0"),
            compute=(properties.major, properties.minor),
            cuda=driver_cuda_version() or cuda_version(self._call("cudaRuntimeGetVersion")),
            memory=total,
            free=free,
            shared=bool(properties.integrated),
        )

    def activate(self) -> None:
        self._call("cudaSetDevice", self._index)

    def allocate(self, size: int) -> Buffer:
        buffer = Buffer(int(self._call("cudaMalloc", size, asked=size)), size)
        self._call("cudaMemsetAsync", buffer.address, 0, size, self._stream)
        return buffer

    def free(self, buffer: Buffer) -> None:
        self._call("cudaFree", buffer.address)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        self._copy(buffer.address, _host_address(array), array.nbytes, "HostToDevice")

    def download(self, buffer: Buffer, array: np.ndarray) -> None:
        self._copy(_host_address(array), buffer.address, array.nbytes, "DeviceToHost")

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        self._copy(target.address, source.address, size, "DeviceToDevice")

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self._stream)

    def capture(self, launch: Callable[[], None]) -> CudaGraph:
        # Other threads may go on to allocate memory meanwhile.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        failure: BackendError | None = None
        try:
            launch()
        except BackendError as error:
            failure = error
        try:
            graph = self._call("cudaStreamEndCapture", self._stream)
            if failure is None:
                return CudaGraph(self, self._call("cudaGraphInstantiate", graph, 0), graph)
            self._call("cudaGraphDestroy", graph)
        except BackendError as error:
            failure = failure or error
        self._cuda.cudaGetLastError()  # else the next call reports it once more
        raise CaptureError(str(failure)) from failure

    def another(self) -> CudaGpu:
        return CudaGpu(self._cuda, self._index)

    def close(self) -> None:
        self._call("cudaStreamDestroy", self._stream)

    def launch(self, executable: Any) -> None:
        """Put a graph on the stream."""
        self._call("cudaGraphLaunch", executable, self._stream)

    def destroy(self, executable: Any, graph: Any) -> None:
        """Free a graph; never fails, since it is called when objects end."""
        self._cuda.cudaGraphExecDestroy(executable)
        self._cuda.cudaGraphDestroy(graph)

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        direction = getattr(self._cuda.cudaMemcpyKind, f"cudaMemcpy{kind}")
        self._call("cudaMemcpyAsync", target, source, size, direction, self._stream)

    def _call(self, function: str, *arguments: Any, asked: int | None = None) -> Any:
        """Call a function of CUDA, which gives its error and then its results.

        Returns:
            None, the one result, or a tuple of them.
        """
        error, *results = getattr(self._cuda, function)(*arguments)
        if int(error) != 0:
            self._cuda.cudaGetLastError()
            raise self._failure(function, int(error), asked)
        return results[0] if len(results) == 1 else tuple(results) or None

    def _failure(self, function: str, error: int, asked: int | None) -> BackendError:
        if error == _OUT_OF_MEMORY:
            return out_of_memory(asked)
        _, text = self._cuda.cudaGetErrorString(self._cuda.cudaError_t(error))
        reason = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        if error in _NO_DRIVER:
            return BackendError(
                f"CUDA finds {_NO_DRIVER[error]} ({reason}); check what nvidia-smi says (tegrastats"
                " on a Jetson), or use backend 'onnx' with device 'cpu'"
            )
        return BackendError(f"the GPU failed in {function} ({reason}); load the model again")


class CudaGraph:
    """See `gpu.GpuGraph`."""

    def __init__(self, device: CudaGpu, executable: Any, graph: Any) -> None:
        self._device, self._executable, self._graph = device, executable, graph

    def launch(self) -> None:
        self._device.launch(self._executable)

    def __del__(self) -> None:
        self._device.destroy(self._executable, self._graph)


def _host_address(array: np.ndarray) -> int:
    if not array.flags.c_contiguous:
        raise ValueError("the array isn't contiguous")
    return array.ctypes.data
