"""The machine and the libraries as one writes them beside a measurement."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

_LIBRARIES = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt", "numpy", "pillow")


def describe_machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system, and GPUs."""
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
    installed = {found.name.lower(): found.version for found in metadata.distributions()}
    named = [name for name in ("perceptiondlm_ros", *_LIBRARIES) if name in installed]
    return {"python": platform.python_version()} | {name: installed[name] for name in named}


def _gpus() -> list[str]:
    """Names of the GPUs, as the driver's own tool tells them."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.stdout.splitlines() if line.strip()]


def _processor() -> str:
    # Jetsons name themselves in the device tree instead.
    for file, pattern in (
        ("/proc/cpuinfo", r"^model name\s*:\s*(.+)$"),
        ("/proc/device-tree/model", "[^\0\n]+"),
    ):
        text = Path(file).read_text(errors="replace") if Path(file).exists() else ""
        if found := re.search(pattern, text, re.MULTILINE):
            return found[found.re.groups]
    return platform.processor() or platform.machine()
