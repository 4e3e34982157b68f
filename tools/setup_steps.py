"""Pieces of the set-up: stamped stages, keys of what they are made from, and logged commands."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn


def fail(message: str) -> NoReturn:
    """Ends the set-up with one sentence on standard error."""
    sys.exit(f"setup: {message}")


def digest(parts: Iterable[str | Path]) -> str:
    """Hash of texts and of files' contents, by name and order."""
    state = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        state.update(f"{len(data)}:".encode() + data)
    return state.hexdigest()


def files_below(*folders: Path) -> list[Path]:
    """Every file below the folders, without caches and hidden files, sorted."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        and not any(p == "__pycache__" or p[0] == "." for p in path.relative_to(folder).parts)
    )


class Stage:
    """One step of the set-up, done where its stamp holds the key of what it is made from."""

    def __init__(self, environment: Path, name: str, key: str) -> None:
        self.key = key
        self._stamp = environment / "stamps" / name

    @property
    def done(self) -> bool:
        """Whether the step was finished with this very key."""
        return self._stamp.exists() and self._stamp.read_text() == self.key

    @property
    def interrupted(self) -> bool:
        """Whether the step began and neither finished nor failed in an orderly way."""
        return self._stamp.exists() and self._stamp.read_text() == "begun"

    def begin(self) -> None:
        self._stamp.parent.mkdir(parents=True, exist_ok=True)
        self._stamp.write_text("begun")

    def finish(self) -> None:
        self._stamp.write_text(self.key)

    def forget(self) -> None:
        self._stamp.unlink(missing_ok=True)


def show_progress(title: str, seconds: float, detail: str) -> None:
    """One line that renews itself on a terminal, a line every 15 s elsewhere."""
    line = f"setup: {title}, {seconds:.0f} s {detail}"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)
    elif round(seconds) % 15 == 2:
        print(line[:100], file=sys.stderr, flush=True)


def last_line(log: Path) -> str:
    """The newest line of a growing log, to show that something happens."""
    with log.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - 500))
        lines = stream.read().decode(errors="replace").split("\n")
    told = (line.strip() for line in reversed(lines) if "WARNING" not in line)
    return next((line for line in told if line), "")


def run_logged(title: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> bool:
    """Runs a command with its output in a file, showing progress; returns whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    show_progress(title, time.monotonic() - began, f"({last_line(log)})")
        except KeyboardInterrupt:
            process.wait()
            fail(f"interrupted while {title}: call again.")
    end = "\r\x1b[K" if sys.stderr.isatty() else ""
    outcome = "done" if process.returncode == 0 else "failed"
    print(f"{end}setup: {title}: {outcome} after {time.monotonic() - began:.0f} s", file=sys.stderr)
    return process.returncode == 0
