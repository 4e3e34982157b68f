"""Opens a GPU by name: through cuda-python, or through torch where that is what is installed."""

from __future__ import annotations

import re

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu, import_cuda_runtime
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu
from perceptiondlm_ros.runtime.tensorrt.products import check_driver, import_rtx, targets


def open_gpu(name: str) -> Gpu:
    """A GPU by name.

    Args:
        name: `auto`, `cuda` or `cuda:N`.

    Raises:
        BackendError: there is none, or neither cuda-python nor torch is installed.
    """
    index = _index(name)
    try:
        return CudaGpu(import_cuda_runtime(), index)
    except ImportError as error:
        failure = BackendError(
            "the TensorRT backend needs cuda-python for memory on the GPU (or a CUDA build of "
            f"torch), and can't import it ({error}); run `pip install 'cuda-bindings<13'` where "
            "the driver is for CUDA 12, else `pip install cuda-bindings`"
        )
    except BackendError as error:  # a build of it that isn't for this driver, say
        failure = error
    found = _torch_gpu(index)
    if found is None:
        raise failure
    return found


def open_gpu_of_rtx(name: str) -> Gpu:
    """A GPU by name that TensorRT for RTX, as it is installed, can run models on.

    Raises:
        BackendError: see `open_gpu`; or the driver is too old, or the GPU isn't served.
    """
    trt = import_rtx()
    check_driver()
    gpu = open_gpu(name)
    try:
        targets(trt, gpu.info())
    except BackendError:
        gpu.close()
        raise
    return gpu


def _torch_gpu(index: int) -> Gpu | None:
    """The GPU through torch, where that is installed and sees it."""
    try:
        from perceptiondlm_ros.runtime.tensorrt.torch_gpu import TorchGpu
    except ImportError:
        return None
    try:
        return TorchGpu(index)
    except (BackendError, RuntimeError):
        return None


def _index(name: str) -> int:
    found = re.fullmatch(r"auto|cuda(?::(\d+))?", name)
    if found is None:
        raise BackendError(
            f"device is {name!r}, and TensorRT runs on NVIDIA GPUs alone; expected 'auto', 'cuda' "
            "or 'cuda:N'"
        )
    return int(found.group(1) or 0)
