"""A folder that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from perceptiondlm_ros.errors import ExportError
from perceptiondlm_ros.model.manifest import is_exported
from perceptiondlm_ros.text import gigabytes


@contextmanager
def new_folder(output: Path, *, overwrite: bool, needed: int) -> Iterator[Path]:
    """A folder to write into, renamed to `output` when the block ends well, else removed.

    Args:
        overwrite: whether an exported model in its place is replaced; nothing else ever is.
        needed: bytes that will be written, looked for before the work begins.

    Raises:
        ExportError: something is in the place, another export is writing there, or the disk is
            full or can't be written to.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _alone(output):
            _check_place(output, overwrite)
            _check_space(output, needed)
            _remove_leftovers(output)
            partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
            try:
                yield partial
                _flush(partial)
                _put(partial, output)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free space there or choose another folder" if full else "choose another folder"
        raise ExportError(f"{output} can't be written ({error}); {advice}") from error


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Hold the place against other exports; the lock goes when the process does."""
    lock = FileLock(output.parent / f".{output.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ExportError(
            f"another export is writing {output}; wait for it or choose another folder"
        ) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _remove_leftovers(output: Path) -> None:
    """What exports that were killed left behind; none is at work, since the lock is ours."""
    for leftover in output.parent.glob(f".{output.name}.partial-*"):
        _remove(leftover)


def _check_place(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    if not (output.is_dir() and is_exported(output)):
        raise ExportError(
            f"{output} exists and is no exported model; choose a folder that does not exist yet"
        )
    if not overwrite:
        raise ExportError(
            f"{output} holds an exported model already; choose another folder, or say "
            "--overwrite to replace it"
        )


def _check_space(output: Path, needed: int) -> None:
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        raise ExportError(
            f"the disk of {output} has {gigabytes(free)} free, and the export takes up to "
            f"{gigabytes(needed)}; free space there or choose another folder"
        )


def _flush(folder: Path) -> None:
    """Have everything on the disk before the folder gets its name."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put(partial: Path, output: Path) -> None:
    partial.chmod(0o755)
    if not output.exists():
        partial.rename(output)
        return
    old = partial.with_name(f"{partial.name}.old")
    output.rename(old)
    partial.rename(output)
    _remove(old)


def _remove(path: Path) -> None:
    """A folder with what it holds, or a link alone: what it leads to is not ours."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
