"""Where a checkpoint's files are: the packaged default, a folder, or a model on the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.model.json_values import read_json, section
from perceptiondlm_ros.model.manifest import BESIDE, has_graphs

PACKAGED = "small"
"""Name of the checkpoint that comes with the package."""

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "small"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ("*.json", "*.safetensors", "*_cpu.onnx")
"""The last are the graphs beside a checkpoint, see `has_graphs`."""


def locate_checkpoint(path: str | Path | None, *, fetch: bool = True) -> Path:
    """The folder that holds a checkpoint's files.

    Args:
        path: a folder; a hub id such as `MSALab/PerceptionDLM`, which is looked for in the hub's
            local cache first and fetched where that is allowed; None is the packaged default, as is
            `small` where no folder has that name.
        fetch: whether to look beyond the local cache.

    Raises:
        CheckpointError: there is no such folder, or the hub's files can't be had here.
        InputError: the path is neither text nor a path.
    """
    if path is None:
        return _existing(DEFAULT_CHECKPOINT)
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(
            f"path is a {type(path).__name__}, expected a folder, a hub id, or None for the "
            "packaged checkpoint"
        )
    try:
        folder = Path(path).expanduser()
    except RuntimeError:  # no such user; then the path is what it says
        folder = Path(path)
    if path == PACKAGED and not folder.exists():
        return _existing(DEFAULT_CHECKPOINT)
    if folder.exists() or not _HUB_ID.fullmatch(str(path)):
        return _existing(folder)
    return _from_hub(str(path), fetch)


def checkpoint_name(path: str | Path | None) -> str:
    """A short name for what `locate_checkpoint` is given."""
    return PACKAGED if path is None else Path(path).name


def _existing(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    kind = "is a file" if folder.exists() else "does not exist"
    raise CheckpointError(
        f"checkpoint {folder} {kind}; expected a folder with config.json, model.safetensors and "
        "tokenizer.json, or a hub id such as MSALab/PerceptionDLM"
    )


def _from_hub(name: str, fetch: bool) -> Path:
    command = f"`hf download {name}` on a machine with network"
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(
            f"checkpoint {name} is neither a folder here nor can it be looked up on the hub, since "
            "huggingface_hub is not installed; run `pip install huggingface_hub` and then "
            f"{command}, or give the folder that holds its files"
        ) from error
    problem: Exception | None = None
    for local_only in (True, False) if fetch else (True,):
        try:
            # Offline mode (HF_HUB_OFFLINE) keeps the second call from touching the network too.
            folder = Path(
                snapshot_download(name, allow_patterns=list(_FILES), local_files_only=local_only)
            )
        except Exception as error:  # noqa: BLE001 (the client's own, its transport's, OS errors)
            problem = error
        else:
            if not (local_only and fetch) or _complete(folder):
                return folder
    raise CheckpointError(
        f"checkpoint {name} is not in the local cache and can't be fetched "
        f"({type(problem).__name__}: {problem}); run {command} and copy its folder here, or give "
        "the folder that holds its files"
    ) from problem


def _complete(folder: Path) -> bool:
    """Whether the local cache holds all files: an interrupted download leaves some out."""
    index = folder / "model.safetensors.index.json"
    shards = section(read_json(index), "weight_map").values() if index.is_file() else []
    files = ["config.json", "tokenizer.json", *(shards or ["model.safetensors"])]
    if has_graphs(folder):
        files += section(read_json(folder / BESIDE), "files")
    return all((folder / str(name)).is_file() for name in files)
