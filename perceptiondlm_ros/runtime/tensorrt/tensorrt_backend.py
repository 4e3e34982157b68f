"""An exported model through TensorRT: two engines, built on this GPU when they are first needed.

Everything between two frames stays on the device: the keys and values that the first step writes
are what later steps read, in the same memory, and what a step leaves is what the next one takes.
"""

from __future__ import annotations

import contextlib
import weakref
from functools import partial
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets, ModelInputs
from perceptiondlm_ros.runtime.backend import CacheMode
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.feeds import first_state
from perceptiondlm_ros.runtime.tensorrt.engine_loader import EngineLoader
from perceptiondlm_ros.runtime.tensorrt.engine_spec import (
    engine_specs,
    engines_folder,
    own_engines,
    verify_graphs,
)
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu
from perceptiondlm_ros.runtime.tensorrt.products import import_tensorrt, targets, title
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log
from perceptiondlm_ros.runtime.tensorrt.tensorrt_session import Engines, TensorRTSession, Workspace


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
    ) -> TensorRTBackend:
        """Load an exported folder. Engines that aren't there yet are built, which takes minutes.

        Args:
            device: `auto`, `cuda` or `cuda:N`.
            trt: the module, see `products`; None imports the one that is installed.

        Raises:
            BackendError: TensorRT, a GPU, memory or disk space is missing, or a build failed.
            CheckpointError: files are missing, damaged or not as exported.
        """
        module = import_tensorrt() if trt is None else trt
        manifest, config = open_exported(folder, graphs=False)
        specs = engine_specs(folder, manifest, config)
        opened = open_gpu(device) if isinstance(device, str) else device
        opened.activate()
        log = make_log(module)
        store = EngineStore(engines_folder(folder), also=own_engines(folder))
        verify = partial(verify_graphs, folder, manifest)
        found = targets(module, opened.info())
        loader = EngineLoader(module, log, store, found, opened.info, verify)
        vision_encoder, denoiser = (
            loader.load(specs[name]) for name in ("vision_encoder", "denoiser")
        )
        engines = Engines(module, log, vision_encoder, denoiser)
        return cls(
            engines,
            opened,
            config=config,
            buckets=manifest.buckets,
            description=f"{title(module)} on {opened.info().name}, {manifest.precision}",
        )

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> TensorRTSession:
        pool = self._pool
        if pool is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        workspace = pool.take()
        try:
            state = first_state(inputs, steps, threshold)
            session = TensorRTSession(workspace, inputs, self.config, cache, state)
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
