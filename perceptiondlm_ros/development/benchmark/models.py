"""The models to measure: random checkpoints and exports are made once and found again."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from tqdm import tqdm

from perceptiondlm_ros.development.benchmark.options import BACKENDS, Options
from perceptiondlm_ros.development.benchmark.random_checkpoint import (
    RECIPE,
    checkpoint_bytes,
    recipe,
    write_random_checkpoint,
)
from perceptiondlm_ros.development.benchmark.sizes import SIZES, Like, Size
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.manifest import is_exported
from perceptiondlm_ros.runtime.loading import BACKENDS as LOADABLE
from perceptiondlm_ros.runtime.locate import locate_checkpoint

_MODULES = {"torch": "torch", "onnx": "onnxruntime", "tensorrt": "tensorrt"}


def available_backends() -> tuple[str, ...]:
    """Backends that can run here, by the libraries that are installed."""
    return tuple(
        name
        for name in BACKENDS
        if name in LOADABLE and importlib.util.find_spec(_MODULES[name]) is not None
    )


def chosen_backends(options: Options) -> tuple[str, ...]:
    """Those that were asked for, or all that are here.

    Raises:
        InputError: one that was asked for isn't here.
    """
    found = available_backends()
    for name in options.backends or ():
        if name not in found:
            raise InputError(
                f"backend {name} can't run here, expected one of {', '.join(found)}; it needs "
                f"{_MODULES[name]} for {sys.executable}"
            )
    return options.backends or found


def find_models(
    options: Options, folder: Path, backends: tuple[str, ...], tell: Callable[[str], None]
) -> dict[str, Path]:
    """What each backend loads of a checkpoint, itself or its export, which is made where it isn't
    there yet. Of an exported model torch can load nothing, and is left out.

    Args:
        folder: a checkpoint or an exported model.
        tell: told what is being done while it takes its time.

    Raises:
        PerceptionDLMError: the checkpoint can't be exported, or torch alone was asked to run an
            export.
    """
    if not is_exported(folder):
        return {
            name: folder if name == "torch" else find_export(options, folder, tell)
            for name in backends
        }
    found = {name: folder for name in backends if name != "torch"}
    if not found or "torch" in (options.backends or ()):
        raise InputError(
            f"{folder} is an exported model, which backend torch can't run; choose other backends, "
            "or give the checkpoint that it was exported from"
        )
    return found


def find_checkpoint(options: Options) -> Path:
    """The folder to measure; random weights are made where they aren't there yet.

    Raises:
        CheckpointError: there is no such folder, or it can't be written.
    """
    if options.like is None:
        given = str(options.checkpoint)
        return locate_checkpoint(None if given in ("", ".") else given)
    folder = options.output / "checkpoints" / f"random-{options.like}"
    if not _was_made_so(folder, SIZES[options.like]):
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, options.like)
    return folder


def _was_made_so(folder: Path, size: Size) -> bool:
    """Whether the folder holds what this version would write."""
    try:
        made: object = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return made == recipe(size)


def _make(folder: Path, like: Like) -> None:
    size = SIZES[like]
    with tqdm(
        total=checkpoint_bytes(size), unit="B", unit_scale=True, desc=f"writing {folder}"
    ) as bar:
        write_random_checkpoint(folder, size, progress=bar.update)


def find_export(options: Options, checkpoint: Path, tell: Callable[[str], None]) -> Path:
    """The exported model of the checkpoint; made where it isn't there yet.

    Raises:
        PerceptionDLMError: it can't be exported.
    """
    folder = export_folder(options, checkpoint)
    if not folder.is_dir():
        from perceptiondlm_ros.export.exporter import ExportOptions, export

        folder.parent.mkdir(parents=True, exist_ok=True)
        export(
            checkpoint,
            folder,
            ExportOptions(precision=options.precision),
            name=checkpoint.name,
            progress=lambda stage: tell(f"exporting {checkpoint.name}: {stage}"),
        )
    return folder


def export_folder(options: Options, checkpoint: Path) -> Path:
    """Where the checkpoint's export goes; tells checkpoints of one name apart, and one that was
    trained on from what it was.
    """
    files = [file.resolve() for file in sorted(checkpoint.glob("*.safetensors"))]
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    fingerprint = f"{crc32(repr(facts).encode()):08x}"
    return options.output / "exports" / f"{checkpoint.name}-{fingerprint}-{options.precision}"
