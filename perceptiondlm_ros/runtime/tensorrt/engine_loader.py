"""Engines that are there when this returns: found in the folder of engines, or built now."""

from __future__ import annotations

import contextlib
import logging
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.build import build
from perceptiondlm_ros.runtime.tensorrt.build_memory import (
    check_disk,
    check_load,
    check_memory,
    free_memory,
)
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineKey, EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.products import Target, title
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import failure, is_of_memory, reasons

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundEngine:
    """An engine as it is stored; `built` where it wasn't there before."""

    key: EngineKey
    data: mmap.mmap
    built: bool


@dataclass(frozen=True)
class EngineLoader:
    """Loads the engines of an exported model, and builds those that aren't there yet.

    Attributes:
        trt: the module, see `products`.
        log: see `tensorrt_log`.
        store: the folder of engines.
        targets: what an engine may be for; it is built for the first.
        gpu_info: asked for the GPU as it is now, or for where engines are built for others.
        verify: called before a build; raises where the graphs' files are not as exported.
        ahead: whether engines are built for other machines.
        clock: makes what is told of a graph's build.
        poll: seconds between two looks at the lock of another's build.
    """

    trt: Any
    log: Any
    store: EngineStore
    targets: tuple[Target, ...]
    gpu_info: Callable[[], GpuInfo]
    verify: Callable[[], None]
    ahead: bool = False
    clock: Callable[[str], BuildClock] = BuildClock
    poll: float = 0.5

    def load(self, spec: EngineSpec) -> Any:
        """The engine of a graph, of TensorRT's own type; built again where TensorRT refuses a file
        that looked right, unless that came with the model or memory was what it lacked.

        Raises:
            BackendError: see `find_or_build`; or the memory is too small for the engine, or
                TensorRT refuses one that isn't to be built again.
            CheckpointError: the graph's files are not as exported.
        """
        while True:
            found = self.find_or_build(spec)
            with contextlib.closing(found.data) as data:
                check_load(spec.name, len(data), self.gpu_info())
                engine = self.trt.Runtime(self.log).deserialize_cuda_engine(data)
            if engine is not None:
                return engine
            reason = reasons(self.log)
            text = f"{title(self.trt)} can't load the engine of {spec.name}"
            if found.built:
                raise failure(reason, f"{text} that it has just built: {reason}")
            if is_of_memory(reason):
                raise failure(reason, f"{text}: {reason}")
            if self.store.is_shipped(found.key):
                raise BackendError(
                    f"{text} that came with the model ({found.key.stem}.engine): {reason}; update "
                    "the driver, compile it again, or remove it to have one built here"
                )
            _LOG.warning("%s (%s); building it again", text, reason)
            self.store.remove(found.key)

    def find_or_build(self, spec: EngineSpec) -> FoundEngine:
        """Find the engine of a graph for one of the targets, else build it and store it.

        Where another process builds into the same folder, this waits, and then uses its engine.

        Raises:
            BackendError: too little memory or disk, a folder that can't be written to, or a graph
                that TensorRT can't build.
            CheckpointError: the graph's files are not as exported.
        """
        if (found := self._find(spec)) is not None:
            return found
        clock = self.clock(spec.name)
        with self.store.lock(lambda: clock.enter("waiting for another build"), self.poll):
            if (found := self._find(spec)) is not None:
                return found
            self.verify()
            key = spec.key(self.targets[0])
            if why := self.store.why_missing(key, others=not self.ahead):
                _LOG.warning("%s; building it for %s", why, self.targets[0])
            self._build(spec, key, clock)
            data = self.store.find(key)
        if data is None:
            raise BackendError(
                f"the engine of {spec.name} was changed in {self.store.folder} while it was being "
                "written; set PERCEPTIONDLM_ENGINES to a folder that nothing else writes to"
            )
        return FoundEngine(key, data, built=True)

    def _find(self, spec: EngineSpec) -> FoundEngine | None:
        for key in map(spec.key, self.targets):
            if (data := self.store.find(key)) is not None:
                return FoundEngine(key, data, built=False)
        return None

    def _build(self, spec: EngineSpec, key: EngineKey, clock: BuildClock) -> None:
        gpu = self.gpu_info()
        free = free_memory(gpu)
        if warning := check_memory(spec, gpu, free):
            _LOG.warning("%s", warning)
        check_disk(spec, self.store.folder)
        _LOG.info("building %s for %s, once; this can take minutes", spec.name, gpu.name)
        clock.enter("reading the graph")
        timings = self.store.timings(key)
        built = build(
            self.trt, self.log, spec, self.targets[0], timings=timings, free=free, clock=clock
        )
        clock.enter("writing the engine")
        self.store.add(key, built.plan, clock.seconds, ahead=self.ahead)
        try:
            if built.timings:
                self.store.add_timings(key, built.timings)
        except BackendError as error:  # the engine is there; only the next build is slower
            _LOG.warning("%s", error)
        _LOG.info("built %s in %.0f s", spec.name, clock.seconds)
