"""A GPU through torch, for machines that have a CUDA build of it and no cuda-python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.gpu import (
    Buffer,
    CaptureError,
    GpuInfo,
    driver_cuda_version,
    out_of_memory,
)


class TorchGpu:
    """See `gpu.Gpu`.

    Args:
        index: of the GPU.

    Raises:
        BackendError: torch finds no such GPU.
    """

    def __init__(self, index: int) -> None:
        count = torch.cuda.device_count()
        if index >= count:
            raise BackendError(
                f"device is 'cuda:{index}', but torch finds {count} GPUs; install the driver and a "
                "CUDA build of torch, or cuda-python"
            )
        self._device = torch.device("cuda", index)
        self._stream = torch.cuda.Stream(self._device)
        self.stream = int(self._stream.cuda_stream)
        self._memory: dict[int, torch.Tensor] = {}

    def info(self) -> GpuInfo:
        properties = torch.cuda.get_device_properties(self._device)
        free, total = torch.cuda.mem_get_info(self._device)
        return GpuInfo(
            name=properties.name,
            compute=(properties.major, properties.minor),
            cuda=driver_cuda_version() or str(torch.version.cuda),
            memory=total,
            free=free,
            shared=bool(properties.is_integrated),
        )

    def activate(self) -> None:
        torch.cuda.set_device(self._device)

    def allocate(self, size: int) -> Buffer:
        try:
            with torch.cuda.stream(self._stream):
                memory = torch.zeros(size, dtype=torch.uint8, device=self._device)
        except RuntimeError as error:
            raise _failure(error, size) from error
        self._memory[memory.data_ptr()] = memory
        return Buffer(memory.data_ptr(), size)

    def free(self, buffer: Buffer) -> None:
        del self._memory[buffer.address]
        torch.cuda.empty_cache()  # else torch keeps it for itself

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        content = torch.from_numpy(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        with self._on_stream():
            self._bytes(buffer, array.nbytes).copy_(content)

    def download(self, buffer: Buffer, array: np.ndarray) -> None:
        with self._on_stream():
            torch.from_numpy(array.reshape(-1).view(np.uint8)).copy_(
                self._bytes(buffer, array.nbytes)
            )

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        with self._on_stream():
            self._bytes(target, size).copy_(self._bytes(source, size))

    def synchronize(self) -> None:
        with self._on_stream():
            self._stream.synchronize()

    def capture(self, launch: Callable[[], None]) -> TorchGraph:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                launch()
        except (BackendError, RuntimeError) as error:
            raise CaptureError(str(error)) from error
        return TorchGraph(self, graph)

    def another(self) -> TorchGpu:
        return TorchGpu(self._device.index)

    def close(self) -> None:
        torch.cuda.empty_cache()

    def replay(self, graph: torch.cuda.CUDAGraph) -> None:
        """Put a graph on the stream."""
        with self._on_stream():
            graph.replay()

    def _bytes(self, buffer: Buffer, size: int) -> torch.Tensor:
        return self._memory[buffer.address][:size]

    @contextmanager
    def _on_stream(self) -> Iterator[None]:
        """Torch's work goes to the stream, and its errors become ours."""
        try:
            with torch.cuda.stream(self._stream):
                yield
        except BackendError:
            raise
        except RuntimeError as error:
            raise _failure(error) from error


class TorchGraph:
    """See `gpu.GpuGraph`."""

    def __init__(self, device: TorchGpu, graph: torch.cuda.CUDAGraph) -> None:
        self._device, self._graph = device, graph

    def launch(self) -> None:
        self._device.replay(self._graph)


def _failure(error: RuntimeError, size: int | None = None) -> BackendError:
    """Our exception for torch's. size: bytes that were asked for."""
    # CUDA itself runs out outside of torch's allocator, which torch tells in words alone.
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
        return out_of_memory(size)
    return BackendError(f"the GPU failed ({error}); load the model again")
