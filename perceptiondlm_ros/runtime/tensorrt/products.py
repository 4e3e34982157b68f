"""TensorRT and TensorRT for RTX: which is installed, and all that is done differently with them.

TensorRT times kernels on the GPU at hand, so an engine is for that GPU, CUDA and version.
TensorRT for RTX compiles on any machine, GPU or not, for a compute capability or for all that it
serves from Ampere on, and translates the engine for the GPU when it is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distributions
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo, driver_cuda_version

RTX = "tensorrt_rtx_bindings"
"""The module of TensorRT for RTX."""
ALL = "all"
"""Compute capability of an engine that runs on every GPU served."""

_INSTALL_RTX = (
    "pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs 'cuda-bindings>=13' filelock"
)
_FOR_CUDA = re.compile(r"tensorrt[-_]rtx[-_]cu(\d+)")
_ANY = "any"
_OLDEST = (8, 0)
"""Turing (7.5) has no fp32 products in TensorRT for RTX, which the graphs contain in every
precision."""

Compute = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """What an engine is built for; a change in any of it makes another engine.

    Attributes:
        tensorrt: product and version.
        cuda: version that the driver supports; `any`, as `gpu` may be.
        gpu: as the driver calls it.
        compute: such as `8.9`; `all`.
    """

    tensorrt: str
    cuda: str
    gpu: str
    compute: str

    def __str__(self) -> str:
        name = f"{self.gpu}, " if self.gpu != _ANY else ""
        product = self.tensorrt if self.is_rtx else f"TensorRT {self.tensorrt}"
        return f"{name}compute {self.compute}, with {product}"

    @property
    def is_rtx(self) -> bool:
        return self.gpu == _ANY


def import_tensorrt() -> Any:
    """The module `tensorrt`, or where that is missing the one of TensorRT for RTX.

    Raises:
        BackendError: neither can be imported; the message says how to get one.
    """
    try:
        return import_module("tensorrt")
    except ImportError as error:
        try:
            return import_module(RTX)
        except ImportError:
            raise BackendError(
                f"the TensorRT backend needs the Python package tensorrt, which can't be imported "
                f"({error}); JetPack brings it as python3-libnvinfer (a virtual environment sees "
                "it with --system-site-packages), elsewhere run `pip install tensorrt`, or on an "
                f"RTX GPU `{_INSTALL_RTX}`"
            ) from error


def import_rtx() -> Any:
    """The module of TensorRT for RTX.

    Raises:
        BackendError: it can't be imported; the message says how to get it.
    """
    try:
        return import_module(RTX)
    except ImportError as error:
        raise BackendError(
            f"compiling engines ahead of time needs TensorRT for RTX, which can't be imported "
            f"({error}); run `{_INSTALL_RTX}`"
        ) from error


def check_driver() -> None:
    """Hold the CUDA that TensorRT for RTX is installed for against the driver's.

    Raises:
        BackendError: the driver's is older.
    """
    majors = [int(found[1]) for one in distributions() if (found := _FOR_CUDA.match(one.name))]
    wanted, driver = max(majors, default=0), driver_cuda_version() or "0.0"
    if int(driver.partition(".")[0]) < wanted:
        raise BackendError(
            f"TensorRT for RTX is installed for CUDA {wanted}, and the driver for CUDA {driver}; "
            f"update the driver to one for CUDA {wanted}"
        )


def is_rtx(trt: Any) -> bool:
    """Whether a module is that of TensorRT for RTX."""
    return hasattr(trt, "ComputeCapability")


def title(trt: Any) -> str:
    """Product and version for people."""
    return f"TensorRT{' for RTX' * is_rtx(trt)} {trt.__version__}"


def served(trt: Any) -> tuple[Compute, ...]:
    """Compute capabilities that TensorRT for RTX compiles our graphs for, ascending."""
    numbers = [name.removeprefix("SM") for name in trt.ComputeCapability.__members__]
    found = sorted((int(n[:-1]), int(n[-1])) for n in numbers if n.isdigit())
    return tuple(compute for compute in found if compute >= _OLDEST)


def rtx_target(trt: Any, compute: Compute | None, name: str = "the GPU") -> Target:
    """For a compute capability, or None for all that are served.

    Raises:
        BackendError: TensorRT for RTX doesn't serve it; the message says what does.
    """
    if compute is not None and compute not in served(trt):
        listed = ", ".join("{}.{}".format(*known) for known in served(trt))
        raise BackendError(
            "{} has compute capability {}.{}, and ".format(name, *compute)
            + f"{title(trt)} serves models of this package on {listed}; build engines on that GPU "
            "with TensorRT (`pip install tensorrt`, on a Jetson JetPack's), or use backend onnx"
        )
    told = ALL if compute is None else "{}.{}".format(*compute)
    return Target(title(trt), cuda=_ANY, gpu=_ANY, compute=told)


def targets(trt: Any, gpu: GpuInfo) -> tuple[Target, ...]:
    """What engines may be for, to run on a GPU; the first is what is built on it.

    Raises:
        BackendError: see `rtx_target`.
    """
    if is_rtx(trt):
        return rtx_target(trt, gpu.compute, gpu.name), rtx_target(trt, None)
    compute = "{}.{}".format(*gpu.compute)
    return (Target(trt.__version__, cuda=gpu.cuda, gpu=gpu.name, compute=compute),)


def times_kernels(trt: Any) -> bool:
    """Whether a build times kernels; TensorRT for RTX doesn't, and its timing caches are empty."""
    return not is_rtx(trt)


def network_flags(trt: Any) -> int:
    """For a strongly typed network."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)  # without the flag there is nothing but that


def configure(trt: Any, config: Any, target: Target) -> None:
    """Set what only some versions have."""
    resize = getattr(trt.PreviewFeature, "RUNTIME_ACTIVATION_RESIZE_10_10", None)
    if resize is not None:
        # Memory for the shapes that come, not for the largest of the profile.
        config.set_preview_feature(resize, True)
    if is_rtx(trt):
        # Else a context may allocate memory of its own, which no CUDA graph can record.
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        if target.compute != ALL:
            config.num_compute_capabilities = 1
            name = f"SM{target.compute.replace('.', '')}"
            config.set_compute_capability(trt.ComputeCapability.__members__[name], 0)


def create_context(trt: Any, engine: Any) -> Any:
    """An execution context whose memory is ours; None where TensorRT fails."""
    strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if not is_rtx(trt):
        return engine.create_execution_context(strategy)
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(strategy)
    # Kernels for a shape are there when it first runs, since a CUDA graph records what runs then.
    eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    config.dynamic_shapes_kernel_specialization_strategy = eager
    return engine.create_execution_context(config)
