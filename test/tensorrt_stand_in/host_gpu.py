"""The fake GPU as a `runtime.tensorrt.gpu.Gpu`, strict about sizes, freed memory and waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tensorrt_stand_in.gpu import FakeGpu, FakeGpuError, Work

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.gpu import Buffer, CaptureError, GpuInfo, out_of_memory


class HostGpu:
    """Args:
    gpu: may be shared by several devices, each with a stream of its own.
    """

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.stream = gpu.create_stream()
        self.closed = False

    def info(self) -> GpuInfo:
        gpu = self.gpu
        free = gpu.memory - gpu.used
        return GpuInfo(gpu.name, gpu.compute, gpu.cuda, gpu.memory, free, shared=False)

    def activate(self) -> None:
        if self.closed:
            raise FakeGpuError("the device was closed")

    def allocate(self, size: int) -> Buffer:
        try:
            buffer = Buffer(self.gpu.allocate(size), size)
        except MemoryError as error:
            raise out_of_memory(size) from error
        self.gpu.view(buffer.address, size)[:] = 0
        return buffer

    def free(self, buffer: Buffer) -> None:
        self.gpu.free(buffer.address)

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        if self.gpu.capturing(self.stream):
            raise FakeGpuError("an upload can't be captured: the host's memory may be gone")
        content = np.frombuffer(array.tobytes(), dtype=np.uint8)
        self.gpu.copies_to_device += 1

        def run() -> None:
            self.gpu.view(buffer.address, content.size)[:] = content

        self.gpu.submit(self.stream, Work(run, (buffer.address,)))

    def download(self, buffer: Buffer, array: np.ndarray) -> None:
        if self.gpu.capturing(self.stream):
            raise FakeGpuError("a download can't be captured")
        self.gpu.copies_to_host += 1

        def run() -> None:
            flat = array.reshape(-1).view(np.uint8)
            flat[:] = self.gpu.view(buffer.address, flat.size)

        self.gpu.submit(self.stream, Work(run, (buffer.address,)))

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        def run() -> None:
            self.gpu.view(target.address, size)[:] = self.gpu.view(source.address, size)

        self.gpu.submit(self.stream, Work(run, (target.address, source.address)))

    def synchronize(self) -> None:
        self.gpu.synchronize(self.stream)

    def capture(self, launch: Callable[[], None]) -> HostGraph:
        self.gpu.begin_capture(self.stream)
        try:
            launch()
        except BackendError as error:
            self.gpu.end_capture(self.stream)
            raise CaptureError(str(error)) from error
        return HostGraph(self, self.gpu.end_capture(self.stream))

    def another(self) -> HostGpu:
        return HostGpu(self.gpu)

    def close(self) -> None:
        self.gpu.destroy_stream(self.stream)
        self.closed = True


class HostGraph:
    def __init__(self, device: HostGpu, work: list[Work]) -> None:
        self._device, self._work = device, work

    def launch(self) -> None:
        self._device.gpu.launch(self._work, self._device.stream)
