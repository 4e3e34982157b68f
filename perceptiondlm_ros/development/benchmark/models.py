"""The models to measure: random checkpoints and exports are made once and found again."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zlib import crc32

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.manifest import is_exported
from perceptiondlm_ros.runtime.locate import locate_checkpoint

LIBRARIES: Final = {"torch": "torch", "onnx": "onnxruntime", "tensorrt": "tensorrt"}
"""Each backend with the module that it needs."""


def available_backends() -> tuple[str, ...]:
    """Backends that can run here, by the libraries that are installed."""
    return tuple(
        name for name, module in LIBRARIES.items() if importlib.util.find_spec(module) is not None
    )


def choose_backends(asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Those that were asked for, or all that are here.

    Raises:
        InputError: one that was asked for isn't here.
    """
    found = available_backends()
    for name in asked or ():
        if name not in found:
            raise InputError(
                f"backend {name} can't run here, expected one of {', '.join(found)}; it needs "
                f"{LIBRARIES[name]} for {sys.executable}"
            )
    return asked or found


def find_checkpoint(checkpoint: str | None, like: str, output: Path) -> Path:
    """The folder to measure; random weights are made where they aren't there yet.

    Args:
        checkpoint: a folder, "" for the packaged one, None for random weights.
        like: the size of random weights.

    Raises:
        CheckpointError: there is no such folder, or it can't be written.
    """
    if checkpoint is not None:
        return locate_checkpoint(checkpoint or None)
    # Imports torch, which a process that measures another backend does without.
    from perceptiondlm_ros.development.benchmark import random_checkpoint

    folder = output / "checkpoints" / f"random-{like}"
    made_of = random_checkpoint.SIZES[like]
    if not random_checkpoint.was_made_of(folder, made_of):
        shutil.rmtree(folder, ignore_errors=True)
        random_checkpoint.write_random_checkpoint(folder, made_of)
    return folder


def find_models(
    folder: Path,
    asked: tuple[str, ...] | None,
    *,
    precision: str,
    output: Path,
    tell: Callable[[str], None],
) -> dict[str, Path]:
    """What each backend loads of a checkpoint, itself or its export, which is made where it isn't
    there yet. Of an exported model torch can load nothing, and is left out.

    Args:
        folder: a checkpoint or an exported model.
        asked: backends, None for all that are here.
        precision: of the export.
        output: folder that keeps exports.
        tell: told what is being done while it takes its time.

    Raises:
        PerceptionDLMError: a backend that was asked for isn't here, the checkpoint can't be
            exported, or torch was asked to run an export.
    """
    backends = choose_backends(asked)
    if not is_exported(folder):
        return {
            name: folder if name == "torch" else find_export(folder, precision, output, tell)
            for name in backends
        }
    found = {name: folder for name in backends if name != "torch"}
    if not found or "torch" in (asked or ()):
        raise InputError(
            f"{folder} is an exported model, which backend torch can't run; choose other backends, "
            "or give the checkpoint that it was exported from"
        )
    return found


def find_export(
    checkpoint: Path, precision: str, output: Path, tell: Callable[[str], None]
) -> Path:
    """The exported model of the checkpoint; made where it isn't there yet.

    Its folder's name tells checkpoints of one name apart, and one that was trained on from what it
    was.
    """
    files = [file.resolve() for file in sorted(checkpoint.glob("*.safetensors"))]
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    name = f"{checkpoint.name}-{crc32(repr(facts).encode()):08x}-{precision}"
    folder = output / "exports" / name
    if not folder.is_dir():
        from perceptiondlm_ros.export.exporter import ExportOptions, export

        folder.parent.mkdir(parents=True, exist_ok=True)
        export(
            checkpoint,
            folder,
            ExportOptions(precision=precision),
            name=checkpoint.name,
            progress=lambda stage: tell(f"exporting {checkpoint.name}: {stage}"),
        )
    return folder
