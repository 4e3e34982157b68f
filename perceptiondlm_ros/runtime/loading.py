"""From a checkpoint folder to a backend that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.runtime.backend import Backend, CacheMode

BACKENDS = ("auto", "torch")
CACHE_MODES = ("auto", "exact", "prefix")


def load_backend(folder: Path, backend: str, device: str) -> Backend:
    """Load a checkpoint folder.

    Args:
        backend: `torch`, or `auto` for the best that is here.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        BackendError: the backend or the device isn't available.
        CheckpointError: the folder's files are missing, damaged or don't fit each other.
    """
    if backend not in BACKENDS:
        raise BackendError(
            f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}; others need an "
            "exported model, which this version can't run yet"
        )
    config = ModelConfig.from_folder(folder)
    try:
        from perceptiondlm_ros.runtime.torch_backend import TorchBackend
    except ImportError as error:
        if (error.name or "").startswith("perceptiondlm_ros"):
            raise  # our own installation is incomplete
        raise BackendError(
            f"the torch backend needs torch and safetensors, but {sys.executable} can't import "
            f"them ({error}); run `{sys.executable} -m pip install torch safetensors`"
        ) from error
    return TorchBackend.load(folder, config, device)


def choose_cache(cache: str, config: ModelConfig) -> CacheMode:
    """Resolve `auto`: the prefix cache where it changes nothing, else none.

    Raises:
        InputError: not one of the cache modes.
    """
    check_cache(cache)
    if cache == "exact" or (cache == "auto" and config.prefix_sees_captions):
        return "exact"
    return "prefix"


def check_cache(cache: str) -> None:
    """Refuse what `choose_cache` would, without a config.

    Raises:
        InputError: not one of the cache modes.
    """
    if cache not in CACHE_MODES:
        raise InputError(f"cache is {cache!r}, expected one of {', '.join(CACHE_MODES)}")
