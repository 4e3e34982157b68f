"""The folder of built engines: each with a description that is written last, and checked.

denoiser-0123456789abcdef.engine   what TensorRT serialised
denoiser-0123456789abcdef.json     its key, size and checksum
timing-10.3.0-8.7.cache            how long each kernel took, so that the next build is shorter
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineKey

_LOCK = ".lock"
_AHEAD = "ahead_of_time"
_PARTIAL = ".partial"
"""Ending of a file that is being written, or was when its writer stopped."""
_DIGEST = 32
"""Bytes of the checksum that a timing cache starts with."""


class EngineStore:
    """The engines in a folder, which is made when something is written.

    Args:
        also: a folder whose engines are found as well; nothing is written there.
    """

    def __init__(self, folder: Path, also: Path | None = None) -> None:
        self.folder = folder
        self._folders = (folder,) if also in (None, folder) else (folder, also)

    @contextmanager
    def lock(self, waiting: Callable[[], None], poll: float = 0.5) -> Iterator[None]:
        """One build at a time: two would not fit the memory. What a build that was interrupted
        left is removed.

        Args:
            waiting: called about every `poll` seconds while another thread or process builds.

        Raises:
            BackendError: the folder can't be written to.
        """
        lock = FileLock(self.folder / _LOCK)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while not lock.is_locked:
                try:
                    lock.acquire(timeout=poll, poll_interval=poll / 5)
                except Timeout:
                    waiting()
        except OSError as error:
            raise _not_written(self.folder, error) from error
        try:
            for path in self.folder.glob(f"*{_PARTIAL}"):
                path.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def path(self, key: EngineKey) -> Path:
        """The file of the engine with this key, whether it is there or not."""
        return self._path(key, "engine")

    def find(self, key: EngineKey) -> mmap.mmap | None:
        """The engine with this key; None where it is missing, incomplete or damaged. It is mapped
        and not read, since it can be as large as the memory."""
        return next(filter(None, (_read(folder, key) for folder in self._folders)), None)

    def is_shipped(self, key: EngineKey) -> bool:
        """Whether the engine that was found came with the model, and wasn't built here."""
        try:
            described = json.loads(self._path(key, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return True
        return isinstance(described, dict) and bool(described.get(_AHEAD))

    def why_missing(self, key: EngineKey, *, others: bool) -> str | None:
        """Why there is no engine with this key; None where there is nothing to tell.

        Args:
            others: whether engines of its graph and model for other targets are told of.
        """
        for folder in self._folders:
            if (folder / f"{key.stem}.json").exists():
                return f"the engine of {key.graph} in {folder} is damaged or cut short"
        found, named = set(), f"{key.graph}-*.json"
        for path in chain(*(folder.glob(named) for folder in self._folders)) if others else ():
            with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
                other = EngineKey(**json.loads(path.read_text(encoding="utf-8"))["key"])
                if (other.model, other.precision) == (key.model, key.precision):
                    found.add(str(other.target))
        if not found:
            return None
        where = " and ".join(map(str, self._folders))
        return f"the engines of {key.graph} in {where} are for {'; '.join(sorted(found))}"

    def add(self, key: EngineKey, plan: memoryview, seconds: float, *, ahead: bool = False) -> None:
        """Write an engine, then its description; only both together are ever found.

        Args:
            seconds: what its build took.
            ahead: whether it was built for other machines.

        Raises:
            BackendError: the disk is full, or the folder can't be written to.
        """
        self.remove(key)
        self._write(self._path(key, "engine"), plan)
        described = _description(key, plan) | {"seconds": round(seconds, 1), _AHEAD: ahead}
        self._write(self._path(key, "json"), f"{json.dumps(described, indent=2)}\n".encode())

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
        self._write(self._timing_path(key), hashlib.sha256(blob).digest() + blob)

    def _path(self, key: EngineKey, ending: str) -> Path:
        return self.folder / f"{key.stem}.{ending}"

    def _timing_path(self, key: EngineKey) -> Path:
        made_for = f"{key.tensorrt}-{key.gpu}-{key.compute}"
        return self.folder / f"timing-{re.sub(r'[^A-Za-z0-9.]+', '-', made_for).strip('-')}.cache"

    def _write(self, path: Path, data: bytes | memoryview) -> None:
        """Write a file so that nobody ever sees a part of it, not even after a power cut."""
        partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise _not_written(path, error) from error
        finally:
            partial.unlink(missing_ok=True)


def _read(folder: Path, key: EngineKey) -> mmap.mmap | None:
    """An engine, where it is whole and of this key."""
    path = folder / f"{key.stem}.engine"
    try:
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError, RecursionError):  # an empty file can't be mapped
        return None
    expected = _description(key, data)
    if isinstance(described, dict) and described | expected == described:
        return data
    data.close()
    return None


def _description(key: EngineKey, plan: mmap.mmap | memoryview) -> dict[str, Any]:
    """What an engine is known by."""
    with memoryview(plan) as view:
        size, digest = view.nbytes, hashlib.sha256(view).hexdigest()
    name = "perceptiondlm_ros engine"
    return {"format": name, "key": asdict(key), "bytes": size, "sha256": digest}


def _not_written(path: Path, error: OSError) -> BackendError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        todo = "free space there, or set PERCEPTIONDLM_ENGINES to a folder on a larger disk"
    else:
        todo = "allow it, or set PERCEPTIONDLM_ENGINES to a folder that can be written to"
    return BackendError(f"{path} can't be written ({error.strerror or error}); {todo}")
