"""The devices that a model may be meant for, with what decides whether it fits.

Memory and compute capability are from the makers' data sheets. Of the device at hand its driver's
tool and the kernel's files are asked.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.text import GIB

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
"""Every precision that a device may compute in; a model is exported in one of the first four."""

_SYSTEM, _LIBRARIES = 1.0, 0.5
"""GiB that the system of a Jetson takes, and that the driver's and a backend's libraries do, the
model apart; estimated."""

Ask = Callable[[list[str]], str]


@dataclass(frozen=True)
class TargetDevice:
    """Where a model runs.

    Attributes:
        name: what `--device` takes.
        title: as its maker calls it.
        memory: bytes, that of the GPU where it has its own.
        compute: compute capability ("SM") of the GPU; None is a CPU.
        shared: whether CPU and GPU use the same memory, as on a Jetson.
        free: bytes that nothing uses now, where the device is at hand.
    """

    name: str
    title: str
    memory: int
    compute: tuple[int, int] | None
    shared: bool
    free: int | None = None

    @property
    def usable(self) -> int:
        """Bytes that a model can have, beside libraries and system: of what is free, or of all."""
        if self.free is not None:
            return max(0, self.free - int(_LIBRARIES * GIB))
        return self.memory - int((_LIBRARIES + _SYSTEM * self.shared) * GIB)

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it computes in at full speed."""
        if self.compute is None:
            return ("fp32", "int8")
        found = ["fp32", "fp16", "int8"]
        if self.compute >= (8, 0):
            found.append("bf16")
        if self.compute >= (8, 9):
            found.append("fp8")
        return tuple(name for name in PRECISIONS if name in found)

    @property
    def usual_precision(self) -> str:
        """What to export for it: half the memory of fp32, in the range of fp32 where there is."""
        if self.compute is None:
            return "fp32"
        return "bf16" if "bf16" in self.precisions else "fp16"


def _table() -> tuple[TargetDevice, ...]:
    jetson = [
        ("orin-nano-4", "Jetson Orin Nano 4 GB", 4, (8, 7)),
        ("orin-nano-8", "Jetson Orin Nano 8 GB", 8, (8, 7)),
        ("orin-nx-8", "Jetson Orin NX 8 GB", 8, (8, 7)),
        ("orin-nx-16", "Jetson Orin NX 16 GB", 16, (8, 7)),
        ("agx-orin-32", "Jetson AGX Orin 32 GB", 32, (8, 7)),
        ("agx-orin-64", "Jetson AGX Orin 64 GB", 64, (8, 7)),
        ("thor-128", "Jetson AGX Thor 128 GB", 128, (11, 0)),
    ]
    others = [
        ("t4", "T4 16 GB", 16, (7, 5)),
        ("rtx-3060-12", "GeForce RTX 3060 12 GB", 12, (8, 6)),
        ("rtx-3080-10", "GeForce RTX 3080 10 GB", 10, (8, 6)),
        ("rtx-3090", "GeForce RTX 3090 24 GB", 24, (8, 6)),
        ("rtx-4060-8", "GeForce RTX 4060 8 GB", 8, (8, 9)),
        ("rtx-4070-12", "GeForce RTX 4070 12 GB", 12, (8, 9)),
        ("rtx-4080", "GeForce RTX 4080 16 GB", 16, (8, 9)),
        ("rtx-4090", "GeForce RTX 4090 24 GB", 24, (8, 9)),
        ("rtx-5070-12", "GeForce RTX 5070 12 GB", 12, (12, 0)),
        ("rtx-5080", "GeForce RTX 5080 16 GB", 16, (12, 0)),
        ("rtx-5090", "GeForce RTX 5090 32 GB", 32, (12, 0)),
        ("l4", "L4 24 GB", 24, (8, 9)),
        ("l40s", "L40S 48 GB", 48, (8, 9)),
        ("a100-40", "A100 40 GB", 40, (8, 0)),
        ("a100-80", "A100 80 GB", 80, (8, 0)),
        ("h100", "H100 80 GB", 80, (9, 0)),
        ("h200", "H200 141 GB", 141, (9, 0)),
    ]
    return tuple(
        TargetDevice(name, title, memory * GIB, compute, shared)
        for rows, shared in ((jetson, True), (others, False))
        for name, title, memory, compute in rows
    )


DEVICES = _table()

HERE = "here"
"""The device at hand: a GPU where there is one, else the CPU."""


def find_device(name: str) -> TargetDevice:
    """A device of the table, or the one at hand.

    Raises:
        InputError: the name is not in the table; the message says which are.
    """
    if name == HERE:
        return device_at_hand()
    if name == "cpu":
        return _cpu()
    for device in DEVICES:
        if device.name == name:
            return device
    names = ", ".join(device.name for device in DEVICES)
    raise InputError(f"device is {name!r}, expected here, cpu, or one of {names}")


def device_at_hand(ask: Ask | None = None, root: Path = Path("/")) -> TargetDevice:
    """What this program runs on.

    Args:
        ask: runs a command and gives what it prints, raising OSError where it can't.
        root: where the kernel's files are.
    """
    return _jetson(root / "proc" / "device-tree" / "model") or _discrete(ask or _run) or _cpu()


def _jetson(model: Path) -> TargetDevice | None:
    try:
        title = model.read_bytes().rstrip(b"\0").decode(errors="replace").strip()
    except OSError:
        return None
    compute = next((sm for key, sm in _JETSONS.items() if key in title), None)
    if compute is None:
        return None
    memory = psutil.virtual_memory()
    return TargetDevice(HERE, title, memory.total, compute, shared=True, free=memory.available)


_JETSONS = {"Orin": (8, 7), "Thor": (11, 0), "Xavier": (7, 2)}


def _discrete(ask: Ask) -> TargetDevice | None:
    """The first NVIDIA GPU that the driver names, which is what a program gets unasked."""
    fields = "name,memory.total,memory.free,compute_cap"
    try:
        lines = ask(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    except OSError:
        return None
    found = re.match(r"(.+), *(\d+), *(\d+), *(\d+)\.(\d+) *$", lines, flags=re.MULTILINE)
    if found is None:
        return None
    title, total, free, major, minor = found.groups()
    mib = 2**20
    return TargetDevice(
        HERE, title, int(total) * mib, (int(major), int(minor)), shared=False, free=int(free) * mib
    )


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"{command[0]} failed: {error}") from error
    return done.stdout


def _cpu() -> TargetDevice:
    memory = psutil.virtual_memory()
    return TargetDevice("cpu", "CPU", memory.total, None, shared=True, free=memory.available)
