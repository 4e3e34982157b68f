"""Whether a model's precision and memory suit a device, and what this machine's libraries lack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from perceptiondlm_ros.preflight.devices import TargetDevice
from perceptiondlm_ros.preflight.findings import Finding, Status
from perceptiondlm_ros.preflight.jetpack import JetPack, jetpack_at_hand
from perceptiondlm_ros.preflight.libraries import Installed
from perceptiondlm_ros.preflight.memory import MemoryNeed
from perceptiondlm_ros.runtime.tensorrt.build_memory import ENGINE
from perceptiondlm_ros.runtime.tensorrt.engine_spec import (
    ENGINES_VARIABLE,
    engines_folder,
    own_engines,
)
from perceptiondlm_ros.text import counted, gibibytes, gigabytes

_device = partial(Finding, "device")
_memory = partial(Finding, "memory")
_library = partial(Finding, "libraries")


def check_precision(device: TargetDevice, precision: str) -> Finding:
    """Whether the device computes in it."""
    elsewhere = ("fp8",) if device.compute is None else ("fp8", "int8")
    takes = ", ".join(name for name in device.precisions if name not in elsewhere)
    status: Status = "fail"
    if device.compute is None and precision == "bf16":
        text = f"ONNX Runtime has no bf16 on a CPU; export in {takes}"
    elif device.compute is None and precision == "fp16":
        status, text = "warn", f"fp16 is converted at every step on a CPU; export in {takes}"
    elif device.compute is not None and precision == "int8":
        text = "int8 is for ONNX Runtime on a CPU; export in fp16 or bf16"
    elif precision not in device.precisions:
        text = f"{device.title} has no {precision}; export in {takes}"
    else:
        text = f"{precision}; the device computes in {', '.join(device.precisions)}"
        status = "ok"
    return _device("precision", status, text)


def check_jetpack(jetpack: JetPack | None = None) -> Iterator[Finding]:
    """The release on this Jetson; nothing elsewhere."""
    found = jetpack or jetpack_at_hand()
    if found is not None:
        text = f"{found.name}: TensorRT {found.tensorrt}, CUDA {found.cuda}"
        if found.usable:
            yield _device("JetPack", "ok", text)
        else:
            yield _device("JetPack", "fail", f"{text}; install JetPack 6.1 or newer")


def check_memory(
    device: TargetDevice, needs: Sequence[MemoryNeed], slots: int, build: tuple[int, int] | None
) -> Iterator[Finding]:
    """Whether images of every usual number of tiles fit, and building the engines does.

    Args:
        needs: ascending.
    """
    usable = f"of {gibibytes(device.usable)}"
    fitting = [need for need in needs if need.total <= device.usable]
    told = needs[min(len(fitting), len(needs) - 1)]
    text = (
        f"{counted(told.tiles, 'tile')} and {counted(slots, 'region')} take "
        f"{gibibytes(told.total)} {usable}"
    )
    if len(fitting) == len(needs):
        yield _memory("running", "ok", text)
    elif fitting:
        most = counted(fitting[-1].tiles, "tile")
        yield _memory("running", "fail", f"{text}; images of up to {most} fit")
    else:
        advice = "take a smaller checkpoint or a larger device, or free memory"
        yield _memory("running", "fail", f"{text}; {advice}")
    if build is not None:
        least, most_bytes = build
        takes = f"TensorRT takes {gibibytes(least)} to {gibibytes(most_bytes)} {usable}"
        if most_bytes <= device.usable:
            yield _memory("building", "ok", takes)
        elif least <= device.usable:
            yield _memory("building", "warn", f"{takes}: it may not be enough; free memory")
        else:
            advice = "run it with ONNX Runtime, or on a larger device"
            yield _memory("building", "fail", f"{takes}: {advice}")


def check_disk(folder: Path, weights: int) -> Finding:
    """Whether the engines of an exported folder can be written beside it, or where they are to go.

    Args:
        weights: bytes of all graphs' weights.
    """
    engines = engines_folder(folder)
    place = next(
        path for path in (engines.absolute(), *engines.absolute().parents) if path.exists()
    )
    needed, free = int(ENGINE * weights), shutil.disk_usage(place).free
    takes = f"engines take about {gigabytes(needed)} of {gigabytes(free)} in {engines}"
    if not os.access(place, os.W_OK):
        text = f"{place} can't be written to; set {ENGINES_VARIABLE} to a folder for the engines"
        if any(own_engines(folder).glob("*.engine")):
            text += f", unless those that are in {own_engines(folder)} are for this device"
            return _device("disk", "warn", text)
        return _device("disk", "fail", text)
    if free < needed:
        text = f"{takes}; free space, or set {ENGINES_VARIABLE} to a folder on a larger disk"
        return _device("disk", "fail", text)
    return _device("disk", "ok", takes)


def check_libraries(
    installed: Installed, backends: Sequence[str], device: TargetDevice, *, here: bool
) -> Iterator[Finding]:
    """What each backend that can run the folder has and lacks.

    Args:
        here: whether the device is this machine's; else what is installed tells nothing about it.
    """
    ready = [
        name
        for name in backends
        if not installed.missing(name) and (name != "tensorrt" or device.compute is not None)
    ]
    # Graphs beside a checkpoint are for CPUs, and torch is for a GPU.
    beside = here and device.compute is not None and "torch" in backends
    for backend in backends:
        if beside and backend == "onnx" and "onnx" in ready:
            text = f"{_found(installed, backend)}, on the CPU, where torch can't use the GPU"
            yield _library(backend, "note", text)
        else:
            yield _backend(installed, backend, device, here=here, needed=not ready)
    if "torch" in backends:
        yield _export(installed)
    if installed.doubled:
        text = (
            "several builds of it are installed and overwrite each other: uninstall them all, then "
            "install one"
        )
        yield _library("onnxruntime", "warn", text)


def _backend(
    installed: Installed, backend: str, device: TargetDevice, *, here: bool, needed: bool
) -> Finding:
    """What a backend has and lacks.

    Args:
        needed: no other backend can run the folder.
    """
    found = _found(installed, backend)
    if not here:
        text = f"{found or 'not'} on this machine, which is not the device"
        return _library(backend, "note", text)
    if backend == "tensorrt" and device.compute is None:
        return _library(backend, "note", "not for a CPU")
    if lacking := installed.missing(backend):
        text = f"lacks {', '.join(lacking)}: {_how_to_get(lacking, device)}"
        return _library(backend, "fail" if needed and backend != "tensorrt" else "warn", text)
    if device.compute is not None and (unused := _leaves_gpu_unused(installed, backend)):
        return _library(backend, "warn", f"{found}, which leaves the GPU unused: {unused}")
    return _library(backend, "ok", found)


def _found(installed: Installed, backend: str) -> str:
    """The libraries of a backend with their versions."""
    names = {
        "torch": ("torch",),
        "onnx": ("onnxruntime",),
        "tensorrt": ("tensorrt", "cuda-python"),
    }[backend]
    listed = [installed.libraries[name] for name in names if name in installed.libraries]
    text = ", ".join(f"{library.distribution} {library.version}" for library in listed)
    providers = f" ({', '.join(installed.providers)})" if backend == "onnx" and text else ""
    return text + providers


def _leaves_gpu_unused(installed: Installed, backend: str) -> str:
    """What to do where a GPU is there and the library is built for CPUs alone."""
    if backend == "onnx" and "CUDA" not in installed.providers:
        return "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
    if backend == "torch" and "+cpu" in installed.libraries["torch"].version:
        return "install a CUDA build of torch"
    return ""


def _how_to_get(lacking: list[str], device: TargetDevice) -> str:
    """Commands, or where to look on a Jetson."""
    gpu, names = device.compute is not None, [name.partition(" ")[0] for name in lacking]
    if device.shared and gpu and {"torch", "onnxruntime", "tensorrt"} & {*names}:
        return (
            "JetPack brings tensorrt for the system's Python (a virtual environment needs "
            "--system-site-packages); take torch and onnxruntime-gpu from NVIDIA's index for it"
        )
    # Of cuda-python a part is used.
    others = {"onnxruntime": f"onnxruntime{'-gpu' * gpu}", "cuda-python": "cuda-bindings"}
    return f"pip install {' '.join(others.get(name, name) for name in names)}"


def _export(installed: Installed) -> Finding:
    """Whether this machine can export the checkpoint."""
    lacking = installed.missing("export")
    if lacking:
        text = f"this machine lacks {', '.join(lacking)}: pip install {' '.join(lacking)}"
        return _library("export", "note", text)
    names = ("torch", "onnx", "onnxscript")
    text = ", ".join(f"{name} {installed.libraries[name].version}" for name in names)
    return _library("export", "ok", text)
