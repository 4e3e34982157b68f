"""Engines for RTX GPUs that needn't be here, compiled into an exported folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.model.manifest import MANIFEST, is_exported
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock, BuildProgress
from perceptiondlm_ros.runtime.tensorrt.engine_loader import EngineLoader
from perceptiondlm_ros.runtime.tensorrt.engine_spec import (
    engine_specs,
    own_engines,
    verify_graphs,
)
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.products import Compute, Target, import_rtx, rtx_target
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

_NAMES: tuple[tuple[str, Compute], ...] = (
    (r"v100|xavier", (7, 0)),
    (r"quadro rtx \d000|titan rtx|rtx 20[678]0|gtx 16[56]0|t4", (7, 5)),
    (r"a100|a30", (8, 0)),
    (r"rtx (20|30)[5-9]0|rtx a\d+|a2|a10g?|a16|a40", (8, 6)),
    (r".*orin.*", (8, 7)),
    (r"rtx 40[5-9]0|rtx \d+ ada|l4|l40s?|l2|l20", (8, 9)),
    (r"h100|h200|h20|gh200|h800", (9, 0)),
    (r"b200|gb200", (10, 0)),
    (r"b300|gb300", (10, 3)),
    (r".*thor.*", (11, 0)),
    (r"rtx 50[5-9]0|rtx pro \d+( blackwell)?", (12, 0)),
    (r"gb10|dgx spark", (12, 1)),
)
"""GPUs by their names as the driver has them, without maker and ending, after NVIDIA's list of
compute capabilities (developer.nvidia.com/cuda-gpus)."""

_LEFT_OUT = re.compile(
    r"\b(nvidia|geforce|tesla|jetson|laptop gpu|(with )?max q( design)?|generation|sff|super|ti|d|"
    r"(workstation|server) edition|\d+ ?gb|hbm\w+|pcie|sxm\d?|nvl)\b"
)


@dataclass(frozen=True)
class CompiledEngine:
    """An engine in the folder.

    Attributes:
        target: what it is for.
        built: whether it was made now; else it was there.
    """

    path: Path
    target: Target
    built: bool


def compute_of(name: str) -> Compute:
    """The compute capability of a GPU by its name, as `RTX 4090`, or by `8.9` or `sm_89`.

    Raises:
        InputError: nobody knows it.
    """
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    spaced = re.sub(r"\b([rg]tx)(?=\d)", r"\1 ", plain)
    model = " ".join(_LEFT_OUT.sub(" ", spaced).split())
    for pattern, compute in _NAMES:
        if model and re.fullmatch(pattern, model):
            return compute
    if number := re.fullmatch(r"(?:sm ?|compute )?(1?\d)\.?(\d)", plain):
        return int(number[1]), int(number[2])
    raise InputError(
        f"gpu is {name!r}, expected a name such as 'RTX 4090' or 'RTX A6000', or a compute "
        "capability such as 8.9; `nvidia-smi --query-gpu=compute_cap --format=csv` tells a GPU's"
    )


def compile_engines(
    folder: Path, gpus: Sequence[str], progress: Callable[[BuildProgress], None]
) -> Iterator[CompiledEngine]:
    """Compile both graphs for each GPU, where that isn't done yet.

    Args:
        folder: an exported model.
        gpus: names or compute capabilities; none is one engine for all that are served.
        progress: told a few times a second what is done.

    Raises:
        InputError: there is no such GPU.
        BackendError: TensorRT for RTX is missing, doesn't serve the GPU or refuses the graph; or
            memory or disk space is missing.
        CheckpointError: files are missing, damaged or not as exported.
    """
    wanted: dict[Compute | None, str] = {compute_of(name): name for name in gpus}
    trt = import_rtx()
    made_for = [rtx_target(trt, *of) for of in wanted.items()] or [rtx_target(trt, None)]
    if not is_exported(folder):
        raise BackendError(
            f"{folder} has no {MANIFEST}, expected what `perceptiondlm export` wrote"
        )
    manifest, config = open_exported(folder, graphs=False)
    specs = engine_specs(folder, manifest, config)
    store, log = EngineStore(own_engines(folder)), make_log(trt, quiet=True)
    for target in made_for:
        loader = EngineLoader(
            trt,
            log,
            store,
            (target,),
            partial(_machine, f"compute {target.compute}"),
            partial(verify_graphs, folder, manifest),
            ahead=True,
            clock=lambda name: BuildClock(name, every=0.2, tell=progress),
        )
        for spec in specs.values():
            found = loader.find_or_build(spec)
            found.data.close()
            yield CompiledEngine(store.path(found.key), target, found.built)


def _machine(name: str) -> GpuInfo:
    """The memory that a build has here, as that of a GPU which it is for."""
    memory = psutil.virtual_memory()
    return GpuInfo(name, (0, 0), "", memory.total, memory.available, shared=True)
