"""Files that are there as a whole or not at all, and a lock that ends with its process."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perceptiondlm_ros.errors import BackendError

PARTIAL = ".partial"
"""Ending of a file that is being written, or was when its writer stopped."""

_SLICE = 64 * 2**20


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that nobody ever sees a part of it, not even after a power cut.

    Raises:
        BackendError: the disk is full, or the folder can't be written to.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            view = memoryview(data).cast("B")
            for start in range(0, len(view), _SLICE):
                file.write(view[start : start + _SLICE])
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _not_written(path, error) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it.

    Raises:
        BackendError: that isn't allowed or there is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error) from error


@contextmanager
def locked(path: Path, waiting: Callable[[float], None], poll: float = 0.5) -> Iterator[None]:
    """Hold a lock that one thread of one process has at a time; the system frees it with them.

    Args:
        path: the lock's file, made where it is missing, and left.
        waiting: called about every `poll` seconds while another has it, with the seconds so far;
            may raise to give up.

    Raises:
        BackendError: the file can't be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        start = time.monotonic()
        while not _try_lock(descriptor, path):
            waiting(time.monotonic() - start)
            time.sleep(poll)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        raise _not_written(path, error) from error
    return True


def _sync_folder(folder: Path) -> None:
    """Make a rename last; not every file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _not_written(path: Path, error: OSError) -> BackendError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        todo = "free space there, or set PERCEPTIONDLM_ENGINES to a folder on a larger disk"
    else:
        todo = "allow it, or set PERCEPTIONDLM_ENGINES to a folder that can be written to"
    return BackendError(f"{path} can't be written ({error.strerror or error}); {todo}")
