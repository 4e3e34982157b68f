"""Whether a build fits the memory and its engine the disk, before it takes minutes to find out."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.text import gibibytes

LEAST, SAFE = 2.0, 2.5
"""A build takes between two and two and a half times the weights."""

ENGINE = 1.1
"""An engine's file is little more than its weights."""

_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


def free_memory(gpu: GpuInfo) -> int:
    """Bytes that a build or an engine can have; on a Jetson, of what CPU and GPU share."""
    return max(gpu.free, psutil.virtual_memory().available) if gpu.shared else gpu.free


def check_memory(spec: EngineSpec, gpu: GpuInfo, free: int) -> str | None:
    """Refuse a build that can't fit.

    Returns:
        A warning where it may not fit, else None.

    Raises:
        OutOfMemoryError: it needs more than is free; the message says what would fit.
    """
    weights = spec.weight_bytes
    if free >= SAFE * weights:
        return None
    least, most = gibibytes(LEAST * weights), gibibytes(SAFE * weights)
    facts = (
        f"building {spec.name} for {gpu.name} takes {least} to {most} of memory "
        f"({spec.precision}, {gibibytes(weights)} of weights), and {_free(free, gpu)}"
    )
    if free >= LEAST * weights:
        return f"{facts}; it may fail for lack of memory"
    fits = gibibytes(free / LEAST)
    raise OutOfMemoryError(f"{facts}; weights of up to {fits} fit: {_advice(spec, free)}")


def check_load(name: str, size: int, gpu: GpuInfo) -> None:
    """Refuse to load an engine that the memory can't hold.

    Raises:
        OutOfMemoryError: it needs more than is free.
    """
    free = free_memory(gpu)
    if free < size:
        raise OutOfMemoryError(
            f"the engine of {name} takes {gibibytes(size)}, and {_free(free, gpu)} on {gpu.name}; "
            "close other programs, or export a smaller checkpoint or precision"
        )


def check_disk(spec: EngineSpec, folder: Path) -> None:
    """Refuse a build whose engine the disk can't hold.

    Raises:
        BackendError: too little space is free.
    """
    needed, free = int(ENGINE * spec.weight_bytes), shutil.disk_usage(folder).free
    if free < needed:
        raise BackendError(
            f"the engine of {spec.name} takes about {gibibytes(needed)} on disk, and {folder} has "
            f"{gibibytes(free)} free; free space there, or set PERCEPTIONDLM_ENGINES to a folder "
            "on a larger disk"
        )


def _advice(spec: EngineSpec, free: int) -> str:
    """What to do about too little memory."""
    close = "close other programs"
    width = _BYTES.get(spec.precision, 2)
    if width > 2 and free >= LEAST * spec.weight_bytes * 2 / width:
        return f"{close}, or export with --precision bf16 or fp16, which fits"
    return f"{close}, or export a smaller checkpoint"


def _free(free: int, gpu: GpuInfo) -> str:
    return f"{gibibytes(free)} of {gibibytes(gpu.memory)} are free"
