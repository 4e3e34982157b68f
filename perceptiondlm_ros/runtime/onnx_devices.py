"""Where ONNX Runtime computes: providers, threads and memory of a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.compute_threads import ComputeThread, thread_count

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16, written as a number so that onnx isn't needed


@dataclass(frozen=True)
class OnnxDevice:
    """A device as ONNX Runtime names it.

    Attributes:
        kind: `cpu` or `cuda`.
        index: of the CUDA device.
    """

    kind: str
    index: int

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"

    @property
    def place(self) -> tuple[str, int]:
        """As IOBinding takes it."""
        return self.kind, self.index

    @classmethod
    def resolve(cls, device: str) -> OnnxDevice:
        """`auto`, `cpu`, `cuda` or `cuda:N` as a device that is there.

        Raises:
            BackendError: it isn't there, or isn't the name of one.
        """
        has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if device == "auto":
            return cls("cuda" if has_cuda else "cpu", 0)
        if device == "cpu":
            return cls("cpu", 0)
        kind, _, number = str(device).partition(":")
        if kind != "cuda" or not (number.isdecimal() or device == "cuda"):
            raise BackendError(f"device is {device!r}, expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
        if not has_cuda:
            raise BackendError(
                f"device is {device!r}, but this onnxruntime {onnxruntime.__version__} has no CUDA "
                "provider; use 'cpu' or 'auto', or install onnxruntime-gpu instead of onnxruntime"
            )
        return cls("cuda", int(number or 0))

    def providers(self) -> list[Any]:
        """Execution providers in order of preference; TensorRT's is not among them, since that is a
        backend of its own."""
        if self.kind == "cpu":
            return ["CPUExecutionProvider"]
        return [("CUDAExecutionProvider", {"device_id": self.index}), "CPUExecutionProvider"]

    def put(self, array: np.ndarray) -> Any:
        """A copy of the array in the device's memory, as an OrtValue."""
        own = np.array(array, order="C")  # on a CPU the value is the array's own memory
        return onnxruntime.OrtValue.ortvalue_from_numpy(own, self.kind, self.index)

    def zeros(self, shape: tuple[int, ...], kind: str) -> Any:
        """An OrtValue of a graph's element type, such as `tensor(float16)`."""
        if kind == "tensor(bfloat16)":
            return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
                np.zeros(shape, dtype=np.uint16), _BFLOAT16
            )
        return self.put(np.zeros(shape, dtype=_DTYPES[kind]))


@cache
def compute_thread() -> ComputeThread:
    """The one thread of this process that loads and runs sessions.

    Computing without denormal numbers is a switch of a thread, which the first session of a process
    turns in the thread that makes it, and which new threads inherit. So that the caller's own
    arithmetic stays as it is, that is a thread of ours.
    """
    return ComputeThread("onnxruntime")


def session_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """Threads that sleep while they wait, and no denormal numbers, see `compute_thread`.

    Each session has threads of its own. By default they wait in a loop for a while: those of the
    vision encoder take cores from those of the denoiser, and each from other processes. Asleep, a
    call took 0.83 of the time alone and 0.63 beside a busy process (two cores, ONNX Runtime 1.32),
    with two thirds of the processor's time; waiting for 10 to 50 microseconds before was no better.

    What a masked column adds is such a number before it is multiplied away, and arithmetic with
    them made attention five times slower (ONNX Runtime 1.32 on a Xeon).

    Args:
        threads: that compute an operator; 0 is as many as the process may use.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options
