"""An exported model through TensorRT: two engines, built on this GPU when they are first needed.

Everything between two frames stays on the device: the keys and values that the first step writes
are what later steps read, in the same memory, and what a step leaves is what the next one takes.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets, ModelInputs
from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.runtime.backend import CacheMode
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.tensorrt.build_memory import check_load
from perceptiondlm_ros.runtime.tensorrt.build_progress import OnProgress, log_progress
from perceptiondlm_ros.runtime.tensorrt.engine_key import EngineKey
from perceptiondlm_ros.runtime.tensorrt.engine_spec import (
    EngineSpec,
    engine_specs,
    engines_folder,
    verify_graphs,
)
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.ensure import Workshop, ensure_engine
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import import_failure, make_log, reasons
from perceptiondlm_ros.runtime.tensorrt.tensorrt_session import Engines, TensorRTSession, Workspace

_LOG = logging.getLogger(__name__)


class TensorRTBackend:
    """See `backend.Backend`. Passes may run at the same time; each has memory of its own, which is
    kept for the next.

    Args:
        engines: loaded, on this device.
        device: with a stream for the first pass.
        config: the model's.
        buckets: sizes that inputs have to be padded to.
        description: for people.
    """

    def __init__(
        self,
        engines: Engines,
        device: Gpu,
        *,
        config: ModelConfig,
        buckets: Buckets,
        description: str,
    ) -> None:
        self.config, self.description = config, description
        self.buckets: Buckets | None = buckets
        self._pool: _Pool | None = _Pool(engines, device)
        # For who forgets to close it; at the end of the process the driver frees everything.
        weakref.finalize(self, self._pool.close).atexit = False

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str | Gpu = "auto",
        *,
        trt: Any = None,
        report: OnProgress | None = None,
    ) -> TensorRTBackend:
        """Load an exported folder. Engines that aren't there yet are built, which takes minutes.

        Args:
            device: `auto`, `cuda` or `cuda:N`.
            trt: the module `tensorrt`; None imports it.
            report: called with the progress of a build; None logs it. What it raises ends the
                build.

        Raises:
            BackendError: TensorRT, a GPU, memory or disk space is missing, or a build failed.
            CheckpointError: files are missing, damaged or not as exported.
        """
        module = import_tensorrt() if trt is None else trt
        manifest, config = open_exported(folder, graphs=False)
        specs = engine_specs(folder, manifest, config)
        opened = open_gpu(device) if isinstance(device, str) else device
        log = make_log(module)
        store = EngineStore(engines_folder(folder))
        loader = _Loader(
            Workshop(module, log, store, report or log_progress()), opened, folder, manifest
        )
        engines = Engines(
            module, log, loader.load(specs["vision_encoder"]), loader.load(specs["denoiser"])
        )
        return cls(
            engines,
            opened,
            config=config,
            buckets=manifest.buckets,
            description=f"TensorRT {module.__version__} on {opened.info().name}, "
            f"{manifest.precision}",
        )

    def start(self, inputs: ModelInputs, cache: CacheMode, steps: int) -> TensorRTSession:
        pool = self._pool
        if pool is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        workspace = pool.take()
        try:
            session = TensorRTSession(workspace, inputs, self.config, cache, steps)
        except BaseException:
            pool.give(workspace)
            raise
        weakref.finalize(session, pool.give, workspace).atexit = False
        return session

    def close(self) -> None:
        """See `backend.Backend`. What a session still uses stays until that session is gone."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def import_tensorrt() -> Any:
    """The module `tensorrt`.

    Raises:
        BackendError: it can't be imported; the message says how to get it.
    """
    try:
        import tensorrt
    except ImportError as error:
        raise BackendError(import_failure(error)) from error
    return tensorrt


@dataclass(frozen=True)
class _Loader:
    """Engines from files, rebuilt once where TensorRT refuses a file that looked right."""

    workshop: Workshop
    device: Gpu
    folder: Path
    manifest: Manifest

    def load(self, spec: EngineSpec) -> Any:
        engine = self._try(spec)
        if engine is None:
            _LOG.warning(
                "TensorRT can't load the engine of %s (%s); building it again",
                spec.name,
                reasons(self.workshop.log),
            )
            trt, store = self.workshop.trt, self.workshop.store
            store.remove(EngineKey.of(spec, self.device.info(), trt.__version__))
            engine = self._try(spec)
        if engine is None:
            raise BackendError(
                f"TensorRT can't load the engine of {spec.name} that it has just built: "
                f"{reasons(self.workshop.log)}"
            )
        return engine

    def _try(self, spec: EngineSpec) -> Any:
        trt = self.workshop.trt
        self.device.activate()
        stored = ensure_engine(
            self.workshop,
            spec,
            self.device.info(),
            lambda: verify_graphs(self.folder, self.manifest),
        )
        with contextlib.closing(stored.data):
            check_load(spec.name, len(stored.data), self.device.info())
            return trt.Runtime(self.workshop.log).deserialize_cuda_engine(stored.data)


class _Pool:
    """Workspaces that no pass uses. Only appends and pops, which need no lock: `give` is called
    by the garbage collector, at any point of any thread."""

    def __init__(self, engines: Engines, device: Gpu) -> None:
        self._engines: Engines | None = engines
        self._device = device
        self._free = [Workspace(engines, device)]

    def take(self) -> Workspace:
        engines = self._engines
        try:
            return self._free.pop()
        except IndexError:
            if engines is None:
                raise BackendError("the backend was closed; load another one") from None
            self._device.activate()
            return Workspace(engines, self._device.another())

    def give(self, workspace: Workspace) -> None:
        self._free.append(workspace)
        if self._engines is None:
            self.close()

    def close(self) -> None:
        self._engines = None
        while self._free:
            with contextlib.suppress(IndexError):
                self._free.pop().close()
