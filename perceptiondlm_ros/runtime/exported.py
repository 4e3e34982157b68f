"""An exported folder, or a checkpoint with graphs beside it, checked, with the config that the
manifest makes of the checkpoint's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import BESIDE, Manifest, is_exported, refuse_index

_OF_GRAPHS = (".onnx", ".onnx.data")


def open_exported(folder: Path, *, graphs: bool = True) -> tuple[Manifest, ModelConfig]:
    """Read the manifest, hold every file against it, and read the config.

    Args:
        graphs: False leaves out the graphs and their weights, which take long to read, for who
            runs engines that were built from them.

    Raises:
        CheckpointError: files are missing, damaged or not as exported.
    """
    if not is_exported(folder):
        return _open_beside(folder)
    manifest = Manifest.read(folder)
    manifest.refuse_foreign(folder)
    kept = {n: r for n, r in manifest.files.items() if graphs or not n.endswith(_OF_GRAPHS)}
    replace(manifest, files=kept).verify(folder)
    return manifest, manifest.applied_to(ModelConfig.from_folder(folder))


def _open_beside(folder: Path) -> tuple[Manifest, ModelConfig]:
    """The same of graphs that lie beside a checkpoint."""
    refuse_index(folder)
    try:
        manifest = Manifest.read(folder, BESIDE)
        manifest.verify(folder)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; a checkpoint that was changed runs in torch without {BESIDE}, and `python "
            f"-m perceptiondlm_ros.export.packaged_graphs {folder}` makes its graphs anew"
        ) from error
    return manifest, manifest.applied_to(ModelConfig.from_folder(folder))
