"""From a folder, a checkpoint or an exported model, to a backend that runs it."""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import Manifest, has_graphs, is_exported
from perceptiondlm_ros.runtime.backend import Backend, CacheMode
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu, driver_cuda_version
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu_of_rtx
from perceptiondlm_ros.runtime.tensorrt.products import RTX

_LOG = logging.getLogger(__name__)
_ROCM_DRIVER = Path("/dev/kfd")

BACKENDS = ("auto", "torch", "onnx", "tensorrt")
CACHE_MODES = ("auto", "exact", "prefix")
PRECISIONS = ("auto", "fp32", "bf16")
DECODINGS = ("auto", "schedule", "confidence")


def load_backend(
    folder: Path, backend: str, device: str, threads: int = 0, precision: str = "auto"
) -> Backend:
    """Load a checkpoint folder or an exported one.

    Args:
        backend: `torch` for a checkpoint, `onnx` or `tensorrt` for an exported model, `onnx` for a
            checkpoint with graphs beside it too, or `auto` for the fastest that is here.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: that compute on a CPU; 0 is as many as the process may use and the model has work
            for.
        precision: one of PRECISIONS; `auto` is fp32 on a CPU and bf16 on a GPU, and an exported
            model's own.

    Raises:
        BackendError: the backend or the device isn't available, or isn't for this kind of folder,
            or can't compute in this precision.
        CheckpointError: the folder's files are missing, damaged or don't fit each other.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    check_precision(precision)
    if is_exported(folder):
        _check_export(folder, precision)
        return _load_exported(folder, backend, device, threads)
    own, in_fp32 = has_graphs(folder), precision != "bf16"
    if own and backend == "onnx" and not in_fp32:
        raise BackendError(
            f"precision is {precision}, but the graphs beside {folder} are in fp32; use precision "
            "auto, or backend torch"
        )
    if own and (backend == "onnx" or (backend == "auto" and in_fp32 and _graphs_are_best(device))):
        return _load_onnx(folder, "cpu" if device == "auto" else device, threads)
    if backend not in ("auto", "torch"):
        raise BackendError(
            f"backend {backend} needs an exported model, and {folder} is a checkpoint; run "
            f"`perceptiondlm export {folder} OUTPUT` and load OUTPUT, or use backend torch"
        )
    return _load_torch(folder, device, threads, precision)


def own_prompt(folder: Path) -> str | None:
    """What an exported model is asked when the caller gives no prompt; None for a checkpoint.

    Raises:
        CheckpointError: the manifest can't be used.
    """
    return Manifest.read(folder).prompt if is_exported(folder) else None


def check_precision(precision: str) -> None:
    """Refuse a precision that there is nowhere.

    Raises:
        InputError: not one of PRECISIONS.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")


def _check_export(folder: Path, precision: str) -> None:
    """Raise BackendError for another precision than that of the export."""
    own = Manifest.read(folder).precision
    if precision not in ("auto", own):
        raise BackendError(
            f"precision is {precision}, but {folder} was exported in {own}; use precision auto, or "
            f"run `perceptiondlm export --precision {precision}` with its checkpoint"
        )


def _graphs_are_best(device: str) -> bool:
    """Whether torch can do no better than the graphs beside a checkpoint, which are for CPUs."""
    if str(device).startswith("cuda"):
        return False
    if find_spec("onnxruntime") is None:
        return find_spec("torch") is None
    return device != "auto" or not _torch_has_gpu()


def _torch_has_gpu() -> bool:
    """Whether torch could compute on a GPU; asked only where there is a driver, since importing
    torch takes seconds."""
    if driver_cuda_version() is None and not _ROCM_DRIVER.exists():
        return False
    try:
        from perceptiondlm_ros.runtime.torch_backend import resolve_device
    except ImportError:
        return False
    except OSError as error:  # a library that torch itself loads
        _LOG.warning("torch can't be imported (%s), so the model runs in ONNX Runtime", error)
        return False
    return resolve_device("auto").type == "cuda"


def _load_torch(folder: Path, device: str, threads: int, precision: str) -> Backend:
    config = ModelConfig.from_folder(folder)
    try:
        from perceptiondlm_ros.runtime.torch_backend import TorchBackend, choose_dtype
    except ImportError as error:
        raise _not_importable("torch", "torch safetensors", error) from error
    dtype = choose_dtype(precision, device)
    return TorchBackend.load(folder, config, device, dtype, threads)


def _load_exported(folder: Path, backend: str, device: str, threads: int) -> Backend:
    if backend == "torch":
        raise BackendError(
            f"backend torch needs a checkpoint, and {folder} is an exported model; use backend "
            "auto, onnx or tensorrt, or load the checkpoint that it was exported from"
        )
    if backend == "tensorrt":
        return _load_tensorrt(folder, device)
    gpu = _gpu_for_tensorrt(folder, device) if backend == "auto" and device != "cpu" else None
    return _load_onnx(folder, device, threads) if gpu is None else _load_tensorrt(folder, gpu)


def _gpu_for_tensorrt(folder: Path, device: str) -> str | Gpu | None:
    """The GPU on which TensorRT is to run this export; None where it can't. TensorRT for RTX is
    also installed where engines are only compiled, so it has to be able to run them here."""
    if any(graph.file is None for graph in Manifest.read(folder).graphs.values()):
        return None
    if find_spec("tensorrt") is not None:
        return device
    if find_spec(RTX) is None or driver_cuda_version() is None:
        return None
    try:
        return open_gpu_of_rtx(device)
    except BackendError as error:
        _LOG.warning("TensorRT for RTX can't run %s here, so ONNX Runtime does: %s", folder, error)
        return None


def _load_tensorrt(folder: Path, device: str | Gpu) -> Backend:
    try:
        from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend
    except ImportError as error:
        raise _not_importable("tensorrt", "tensorrt cuda-python filelock psutil", error) from error
    return TensorRTBackend.load(folder, device)


def _load_onnx(folder: Path, device: str, threads: int) -> Backend:
    try:
        from perceptiondlm_ros.runtime.onnx_backend import OnnxBackend
    except ImportError as error:
        raise _not_importable("onnx", "onnxruntime", error) from error
    return OnnxBackend.load(folder, device, threads)


def _not_importable(backend: str, packages: str, error: ImportError) -> Exception:
    """The error itself where our own installation is incomplete."""
    if (error.name or "").startswith("perceptiondlm_ros"):
        return error
    return BackendError(
        f"the {backend} backend needs {packages.replace(' ', ' and ')}, but {sys.executable} can't "
        f"import them ({error}); run `{sys.executable} -m pip install {packages}`"
    )


def choose_cache(cache: str, config: ModelConfig) -> CacheMode:
    """Resolve `auto`: the prefix cache where it changes nothing, else none.

    Raises:
        InputError: not one of the cache modes.
    """
    check_cache(cache)
    if cache == "exact" or (cache == "auto" and config.prefix_sees_captions):
        return "exact"
    return "prefix"


def check_cache(cache: str) -> None:
    """Refuse what `choose_cache` would, without a config.

    Raises:
        InputError: not one of the cache modes.
    """
    if cache not in CACHE_MODES:
        raise InputError(f"cache is {cache!r}, expected one of {', '.join(CACHE_MODES)}")


def choose_threshold(decoding: str, threshold: float | None, config: ModelConfig) -> float | None:
    """The probability from which on a token is kept; None for the published schedule.

    Args:
        decoding: one of DECODINGS; `auto` is what the checkpoint is meant for.
        threshold: None is the checkpoint's own.

    Raises:
        InputError: see `check_decoding`, or there is a threshold that nothing would use.
    """
    check_decoding(decoding, threshold)
    if (config.decoding if decoding == "auto" else decoding) == "confidence":
        return config.decoding_threshold if threshold is None else float(threshold)
    if threshold is not None:
        raise InputError(
            f"decoding_threshold is {threshold!r}, and decoding by schedule has none; set decoding "
            "to confidence, or leave the threshold out"
        )
    return None


def check_decoding(decoding: str, threshold: float | None) -> None:
    """Refuse what `choose_threshold` would, without a config.

    Raises:
        InputError: not one of DECODINGS, or no probability.
    """
    if decoding not in DECODINGS:
        raise InputError(f"decoding is {decoding!r}, expected one of {', '.join(DECODINGS)}")
    number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 < threshold <= 1):
        raise InputError(
            f"decoding_threshold is {threshold!r}, expected a number above 0 and up to 1"
        )
