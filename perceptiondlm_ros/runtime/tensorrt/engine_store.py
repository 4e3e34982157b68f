"""The folder of built engines: each with a description that is written last, and checked.

denoiser-0123456789abcdef.engine   what TensorRT serialised
denoiser-0123456789abcdef.json     its key, size and checksum
timing-10.3.0-8.7.cache            how long each kernel took, so that the next build is shorter
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.engine_key import EngineKey
from perceptiondlm_ros.runtime.tensorrt.whole_files import PARTIAL, locked, make_folder, write_whole

_LOCK = ".lock"
_DIGEST = 32
"""Bytes of the checksum that a timing cache starts with."""


@dataclass(frozen=True)
class StoredEngine:
    """An engine file whose size and checksum are those that were written down.

    Attributes:
        data: the file's content, mapped and not read, since it can be as large as the memory.
        seconds: what its build took.
    """

    path: Path
    data: mmap.mmap
    seconds: float


class EngineStore:
    """Args:
    folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lock(self, waiting: Callable[[float], None], poll: float = 0.5) -> Iterator[None]:
        """One build at a time: two would not fit the memory. What a build that was interrupted
        left is removed.

        Args:
            waiting: see `files.locked`.

        Raises:
            BackendError: the folder can't be written to.
        """
        make_folder(self.folder)
        with locked(self.folder / _LOCK, waiting, poll):
            for path in self.folder.glob(f"*{PARTIAL}"):
                path.unlink(missing_ok=True)
            yield

    def find(self, key: EngineKey) -> StoredEngine | None:
        """The engine with this key; None where it is missing, incomplete or damaged."""
        described = _read_description(self._path(key, "json"))
        if described is None or described.get("key") != key.as_dict():
            return None
        path = self._path(key, "engine")
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # an empty file can't be mapped
            return None
        if len(data) != described.get("bytes") or _sha256(data) != described.get("sha256"):
            data.close()
            return None
        seconds = described.get("seconds")
        return StoredEngine(path, data, seconds if isinstance(seconds, (int, float)) else 0.0)

    def add(self, key: EngineKey, plan: memoryview, seconds: float) -> None:
        """Write an engine, then its description; only both together are ever found.

        Raises:
            BackendError: the disk is full, or the folder can't be written to.
        """
        self.remove(key)
        write_whole(self._path(key, "engine"), plan)
        description = {
            "format": "perceptiondlm_ros engine",
            "key": key.as_dict(),
            "bytes": plan.nbytes,
            "sha256": _sha256(plan),
            "seconds": round(seconds, 1),
        }
        text = json.dumps(description, indent=2) + "\n"
        write_whole(self._path(key, "json"), text.encode())

    def remove(self, key: EngineKey) -> None:
        """Forget an engine, its description first.

        Raises:
            BackendError: the folder can't be written to.
        """
        try:
            for ending in ("json", "engine"):
                self._path(key, ending).unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(
                f"{error.filename} can't be removed ({error.strerror}); it holds an engine that "
                "can't be used, so allow it or set PERCEPTIONDLM_ENGINES to another folder"
            ) from error

    def timings(self, key: EngineKey) -> bytes:
        """The timing cache for this TensorRT and GPU; empty where it is missing or damaged."""
        try:
            content = self._timing_path(key).read_bytes()
        except OSError:
            return b""
        digest, blob = content[:_DIGEST], content[_DIGEST:]
        return blob if hashlib.sha256(blob).digest() == digest else b""

    def add_timings(self, key: EngineKey, blob: bytes) -> None:
        """Write the timing cache.

        Raises:
            BackendError: the disk is full, or the folder can't be written to.
        """
        write_whole(self._timing_path(key), hashlib.sha256(blob).digest() + blob)

    def _path(self, key: EngineKey, ending: str) -> Path:
        return self.folder / f"{key.stem}.{ending}"

    def _timing_path(self, key: EngineKey) -> Path:
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", key.gpu).strip("-")
        return self.folder / f"timing-{key.tensorrt}-{gpu}-{key.compute}.cache"


def _read_description(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _sha256(data: mmap.mmap | memoryview) -> str:
    digest = hashlib.sha256()
    with memoryview(data) as view:
        digest.update(view)
    return digest.hexdigest()
