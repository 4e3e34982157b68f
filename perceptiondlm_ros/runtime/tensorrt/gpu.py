"""What the TensorRT backend needs of a GPU: memory, a stream, graphs. Behind it is cuda-python, or
torch where that is what is installed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError


@dataclass(frozen=True)
class GpuInfo:
    """The GPU that an engine is built on and runs on.

    Attributes:
        name: as the driver calls it.
        compute: compute capability ("SM"), major and minor.
        cuda: version of CUDA that the driver supports, such as `12.6`.
        memory: bytes in all.
        free: bytes that nothing used when this was asked.
        shared: whether the CPU uses the same memory, as on a Jetson.
    """

    name: str
    compute: tuple[int, int]
    cuda: str
    memory: int
    free: int
    shared: bool


class CaptureError(BackendError):
    """What was launched can't be recorded as a graph; launching it directly may work."""


@dataclass(frozen=True)
class Buffer:
    """A block of the device's memory.

    Attributes:
        address: of its first byte, on the device.
        size: bytes.
    """

    address: int
    size: int


class GpuGraph(Protocol):
    """Recorded work."""

    def launch(self) -> None:
        """Put the work on the stream that it was recorded on."""
        ...


class Gpu(Protocol):
    """One GPU and one stream on it, on which everything happens in order. Used by one thread at a
    time, not always the same. Every method raises BackendError where the GPU fails.

    Attributes:
        stream: the stream's handle.
    """

    stream: int

    def info(self) -> GpuInfo:
        """The GPU, with what is free now."""
        ...

    def activate(self) -> None:
        """Make it the current device of this thread; before anything else is called."""
        ...

    def allocate(self, size: int) -> Buffer:
        """Memory that holds zeros; freed by `free` alone."""
        ...

    def free(self, buffer: Buffer) -> None:
        """Give memory back. No work on the stream may still use it."""
        ...

    def upload(self, buffer: Buffer, array: np.ndarray) -> None:
        """Put an array into the beginning of a buffer, in the stream's order. The array may be
        changed as soon as this returns."""
        ...

    def download(self, buffer: Buffer, array: np.ndarray) -> None:
        """Fill an array from the beginning of a buffer; there after `synchronize`, not before."""
        ...

    def copy(self, target: Buffer, source: Buffer, size: int) -> None:
        """Copy on the device, in the stream's order."""
        ...

    def synchronize(self) -> None:
        """Wait for everything on the stream."""
        ...

    def capture(self, launch: Callable[[], None]) -> GpuGraph:
        """Record what `launch` puts on the stream, without doing it.

        Raises:
            CaptureError: it can't be recorded; the stream is as before.
        """
        ...

    def another(self) -> Gpu:
        """The same GPU with a stream of its own."""
        ...

    def close(self) -> None:
        """Let go of the stream."""
        ...


def driver_cuda_version() -> str | None:
    """The version of CUDA that the driver supports, such as `12.6`; None without a driver."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int(0)
    if library.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return cuda_version(number.value)


def cuda_version(number: int) -> str:
    """12060 as 12.6."""
    return f"{number // 1000}.{number % 1000 // 10}"


def out_of_memory(size: int | None = None) -> OutOfMemoryError:
    """What every device raises when its memory is used up."""
    what = "" if size is None else f" ({size / 2**20:.0f} MiB more were asked for)"
    return OutOfMemoryError(
        f"the GPU ran out of memory{what}; use fewer regions a frame, a smaller image or "
        "checkpoint, or close other programs"
    )
