"""Which libraries are installed, without importing any: what each backend lacks, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OLDEST_TENSORRT = (10, 3)
"""Of JetPack 6.1: older ones lack strongly typed networks in bf16."""

_ALWAYS = ("msgspec", "numpy", "pillow", "tokenizers")
_LISTED = {
    "msgspec": ("msgspec",),
    "numpy": ("numpy",),
    "pillow": ("pillow",),
    "tokenizers": ("tokenizers",),
    "filelock": ("filelock",),
    "psutil": ("psutil",),
    "torch": ("torch",),
    "safetensors": ("safetensors",),
    "onnx": ("onnx",),
    "onnxscript": ("onnxscript",),
    "onnxruntime": (
        *("onnxruntime-gpu", "onnxruntime", "onnxruntime-openvino", "onnxruntime-migraphx"),
        *("onnxruntime-rocm", "onnxruntime-directml", "onnxruntime-qnn", "onnxruntime-training"),
        *("ort-nightly-gpu", "ort-nightly"),
    ),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "cuda-python": ("cuda-bindings", "cuda-python"),
}
"""Names in the report, and the distributions that may bring each, the most capable first."""

_CUDA_PROVIDER = "libonnxruntime_providers_cuda.so"
"""The file of onnxruntime's wheels for GPUs that holds the execution provider which is used there;
the CPU's is in every wheel."""

Version = Callable[[str], str | None]
Files = Callable[[str], list[str]]


@dataclass(frozen=True)
class Library:
    """A library that is installed.

    Attributes:
        distribution: what was installed under which name.
    """

    name: str
    version: str
    distribution: str


@dataclass(frozen=True)
class Installed:
    """What is here.

    Attributes:
        libraries: those found, by their name in the report.
        providers: execution providers that the installed onnxruntime has files for.
        doubled: two builds of onnxruntime are installed over each other.
    """

    libraries: dict[str, Library]
    providers: tuple[str, ...]
    doubled: bool

    def missing(self, backend: str) -> list[str]:
        """What a backend, or `export`, lacks of the libraries it needs."""
        lacking = [name for name in NEEDS[backend] if name not in self.libraries]
        found = self.libraries.get("tensorrt")
        if backend == "tensorrt" and found and release(found.version) < OLDEST_TENSORRT:
            lacking.append("tensorrt {}.{} or newer".format(*OLDEST_TENSORRT))
        # Buffers on the GPU are torch's where cuda-python isn't there.
        return [name for name in lacking if name != "cuda-python" or "torch" not in self.libraries]


NEEDS = {
    "torch": (*_ALWAYS, "torch", "safetensors"),
    "onnx": (*_ALWAYS, "onnxruntime"),
    "tensorrt": (*_ALWAYS, "filelock", "psutil", "tensorrt", "cuda-python"),
    "export": (*_ALWAYS, "filelock", "torch", "safetensors", "onnx", "onnxscript"),
}
"""What each backend imports, and what `perceptiondlm export` does."""


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: (10, 3) of 10.3.0.26-1+cuda12.5."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def find_installed(version: Version | None = None, files: Files | None = None) -> Installed:
    """Ask the interpreter's package metadata.

    Args:
        version: of a distribution, None where it isn't installed.
        files: of a distribution that is.
    """
    version, files = version or _version, files or _files
    libraries = {}
    for name, distributions in _LISTED.items():
        for distribution in distributions:
            found = version(distribution)
            if found is not None:
                libraries[name] = Library(name, found, distribution)
                break
    runtimes = [name for name in _LISTED["onnxruntime"] if version(name) is not None]
    held = {Path(file).name for name in runtimes for file in files(name)}
    providers = ("CUDA", "CPU") if _CUDA_PROVIDER in held else ("CPU",)
    return Installed(libraries, providers if runtimes else (), doubled=len(runtimes) > 1)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _files(distribution: str) -> list[str]:
    return [str(path) for path in metadata.files(distribution) or []]
