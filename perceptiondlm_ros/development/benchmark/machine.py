"""What a process takes of its device and machine: memory at its peak, versions, names."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import import_cuda_runtime

_LIBRARIES = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "numpy", "pillow")

_CUDA_PYTHON = {"cuda.bindings.runtime", "cuda.cudart"}
"""Modules of cuda-python, by its new and its old name."""


def wait_for_device() -> None:
    """Return when the CUDA device that this process uses has done all that was launched."""
    if torch := _torch_with_cuda():
        torch.cuda.synchronize()
    elif sys.modules.keys() & _CUDA_PYTHON:
        import_cuda_runtime().cudaDeviceSynchronize()


def peak_memory() -> dict[str, int]:
    """Most bytes that this process has held: `host`, and `device` where it uses one through torch
    or cuda-python.

    A device's memory is what all processes hold of it at present, since each library has an
    allocator of its own; none gives back what it once took.
    """
    peak = {"host": _peak_of_host()}
    if torch := _torch_with_cuda():
        free, total = torch.cuda.mem_get_info()
        peak["device"] = int(total - free)
    elif sys.modules.keys() & _CUDA_PYTHON:
        _, free, total = import_cuda_runtime().cudaMemGetInfo()
        peak["device"] = int(total - free)
    return peak


def describe_machine() -> dict[str, Any]:
    """The machine as one writes it beside a measurement."""
    linux = sys.platform == "linux"
    return {
        "processor": _processor(),
        "cores": len(psutil.Process().cpu_affinity() or ()) if linux else psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpus": _gpus(),
    }


def library_versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in ("perceptiondlm_ros", *_LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _torch_with_cuda() -> Any:
    """Torch where this process uses a device through it; it is loaded by others, or not at all."""
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _gpus() -> list[str]:
    """Names of the GPUs, as the driver's own tool tells them."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.stdout.splitlines() if line.strip()]


def _peak_of_host() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", _text("/proc/self/status"), re.MULTILINE)
    if found:
        return 1024 * int(found[1])
    import resource  # not Linux; there a child inherits its parent's peak

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    # Jetsons name themselves in the device tree instead.
    board = _text("/proc/device-tree/model").strip("\0\n")
    return found[1] if found else board or platform.processor() or platform.machine()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
