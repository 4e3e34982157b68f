"""Engines that are there when this returns: found in the cache, or built now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.build import Built, build
from perceptiondlm_ros.runtime.tensorrt.build_memory import check_disk, check_memory, free_memory
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock, OnProgress
from perceptiondlm_ros.runtime.tensorrt.engine_key import EngineKey
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore, StoredEngine
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """Where engines are found or built.

    Attributes:
        trt: the module `tensorrt`.
        log: see `tensorrt_log`.
        store: the folder of engines.
        report: called with the progress, also while waiting for another process; what it raises
            ends the build, and is raised.
        poll: seconds between two looks at the lock of another's build.
    """

    trt: Any
    log: Any
    store: EngineStore
    report: OnProgress | None = None
    poll: float = 0.5


def ensure_engine(
    workshop: Workshop, spec: EngineSpec, gpu: GpuInfo, verify: Callable[[], None]
) -> StoredEngine:
    """Find the engine of a graph for this GPU and this TensorRT, else build it and store it.

    Where another process builds into the same folder, this waits, and then uses its engine.

    Args:
        verify: called before a build; raises where the graph's files are not as exported.

    Raises:
        BackendError: too little memory or disk, a folder that can't be written to, or a graph that
            TensorRT can't build.
    """
    store, key = workshop.store, EngineKey.of(spec, gpu, workshop.trt.__version__)
    found = store.find(key)
    if found is not None:
        return found
    clock = BuildClock(spec.name, workshop.report)
    with store.lock(_waiting(clock), workshop.poll):
        found = store.find(key)
        if found is None:
            verify()
            _store(store, key, _build(workshop, spec, gpu, key, clock), clock)
            found = store.find(key)
    if found is None:
        raise BackendError(
            f"the engine of {spec.name} was changed in {store.folder} while it was being written; "
            "set PERCEPTIONDLM_ENGINES to a folder that nothing else writes to"
        )
    return found


def _build(
    workshop: Workshop, spec: EngineSpec, gpu: GpuInfo, key: EngineKey, clock: BuildClock
) -> Built:
    free = free_memory(gpu)
    warning = check_memory(spec, gpu, free)
    if warning:
        _LOG.warning("%s", warning)
    check_disk(spec, workshop.store.folder)
    _LOG.info("building %s for %s, once; this can take minutes", spec.name, gpu.name)
    clock.enter("reading the graph")
    clock.check()
    timings = workshop.store.timings(key)
    return build(workshop.trt, workshop.log, spec, timings=timings, free=free, clock=clock)


def _store(store: EngineStore, key: EngineKey, built: Built, clock: BuildClock) -> None:
    clock.enter("writing the engine")
    clock.check()
    store.add(key, built.plan, clock.seconds)
    try:
        store.add_timings(key, built.timings)
    except BackendError as error:  # the engine is there; only the next build is slower
        _LOG.warning("%s", error)
    _LOG.info("built %s in %.0f s", key.graph, clock.seconds)


def _waiting(clock: BuildClock) -> Callable[[float], None]:
    def waiting(_: float) -> None:
        clock.enter("waiting for another build")
        clock.check()

    return waiting
