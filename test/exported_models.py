"""Checkpoints exported for real, each once in a test run, in however many processes that is."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock
from surroundings import EXPORTS
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark.models import find_checkpoint
from perceptiondlm_ros.export.exporter import ExportOptions, export
from perceptiondlm_ros.model.manifest import Manifest

INT8 = ExportOptions("int8", steps=3, caption_tokens=4, prompt="What?")
"""One export has options of its own."""

_KEPT: list[TemporaryDirectory[str]] = []


@cache
def tiny() -> Path:
    """A checkpoint with random weights whose prefix doesn't see its captions."""
    _KEPT.append(TemporaryDirectory())
    folder = Path(_KEPT[-1].name) / "tiny"
    folder.mkdir()
    save_checkpoint(folder, prefix_sees_captions=False)
    return folder


@cache
def random_small() -> Path:
    """Random weights of the published proportions, as `make bench` makes them."""
    place = Path(os.environ[EXPORTS]) / "random"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        return find_checkpoint(None, "small", place)


@cache
def exported(checkpoint: Path, precision: str = "fp32") -> Path:
    """The folder, which nobody may change; checkpoints that are equal have one."""
    place = Path(os.environ[EXPORTS]) / f"{_digest(checkpoint)}-{precision}"
    place.mkdir(parents=True, exist_ok=True)
    folder = place / checkpoint.name
    with FileLock(place / "lock"):
        if not folder.exists():  # what is there is whole
            options = INT8 if precision == INT8.precision else ExportOptions(precision)
            export(checkpoint, folder, options, name=checkpoint.name)
    return folder


def export_copy(
    checkpoint: Path,
    output: Path,
    options: ExportOptions,
    *,
    name: str,
    progress: Callable[[str], None],
) -> Manifest:
    """Takes the place of `export`: copies the export that is made once."""
    assert options == ExportOptions(options.precision), "others are made by `export` alone"
    shutil.copytree(exported(checkpoint, options.precision), output)
    manifest = replace(Manifest.read(output), name=name)
    manifest.write(output)
    return manifest


def _digest(checkpoint: Path) -> str:
    files = sorted(path for path in checkpoint.iterdir() if path.is_file())
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
