"""An exported folder, checked, with the config that its manifest makes of the checkpoint's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import Manifest


def open_exported(folder: Path) -> tuple[Manifest, ModelConfig]:
    """Read the manifest, hold every file against it, and read the config.

    Raises:
        CheckpointError: files are missing, damaged or not as exported.
    """
    manifest = Manifest.read(folder)
    manifest.verify(folder)
    config = replace(
        ModelConfig.from_folder(folder),
        denoising_steps=manifest.steps,
        caption_tokens=manifest.caption_tokens,
    )
    return manifest, config
