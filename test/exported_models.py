"""Checkpoints exported for real, each once in a test run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.export.exporter import ExportOptions, export

_KEPT: list[TemporaryDirectory[str]] = []


@cache
def tiny() -> Path:
    """A checkpoint with random weights whose prefix doesn't see its captions."""
    _KEPT.append(TemporaryDirectory())
    save_checkpoint(Path(_KEPT[-1].name), prefix_sees_captions=False)
    return Path(_KEPT[-1].name)


@cache
def exported(checkpoint: Path, precision: str = "fp32") -> Path:
    """The folder, which nobody may change."""
    _KEPT.append(TemporaryDirectory())
    folder = Path(_KEPT[-1].name) / f"{checkpoint.name}-{precision}"
    export(checkpoint, folder, ExportOptions(precision=precision), name=checkpoint.name)
    return folder
