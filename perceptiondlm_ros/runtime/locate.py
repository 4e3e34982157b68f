"""Where a checkpoint's files are: the packaged default, a folder, or a model on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "small"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ("*.json", "*.safetensors")


def locate_checkpoint(path: str | Path | None) -> Path:
    """The folder that holds a checkpoint's files.

    Args:
        path: a folder; a hub id such as `MSALab/PerceptionDLM`, which is looked for in the hub's
            local cache first and fetched where that is allowed; None is the packaged default.

    Raises:
        CheckpointError: there is no such folder, or the hub's files can't be had here.
    """
    if path is None:
        return _existing(DEFAULT_CHECKPOINT)
    folder = Path(path).expanduser()
    if folder.exists() or not _HUB_ID.fullmatch(str(path)):
        return _existing(folder)
    return _from_hub(str(path))


def _existing(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    kind = "is a file" if folder.exists() else "does not exist"
    raise CheckpointError(
        f"checkpoint {folder} {kind}; expected a folder with config.json, model.safetensors and "
        "tokenizer.json, or a hub id such as MSALab/PerceptionDLM"
    )


def _from_hub(name: str) -> Path:
    fetch = f"`hf download {name}` on a machine with network"
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        raise CheckpointError(
            f"checkpoint {name} is neither a folder here nor can it be looked up on the hub, since "
            "huggingface_hub is not installed; run `pip install huggingface_hub` and then "
            f"{fetch}, or give the folder that holds its files"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES), local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not in the local cache
    try:
        # Offline mode (HF_HUB_OFFLINE) makes this raise without touching the network.
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub's client raises its own, requests' and OS errors
        raise CheckpointError(
            f"checkpoint {name} is not in the local cache and can't be fetched "
            f"({type(error).__name__}: {error}); run {fetch} and copy its folder here, or give "
            "the folder that holds its files"
        ) from error
