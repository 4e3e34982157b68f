"""The files that describe a checkpoint in the published layout, made from the packaged one's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT

_FILES = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer.json")


def copy_description(folder: Path) -> ModelConfig:
    """Write all files but the weights into the folder, as the packaged checkpoint has them: its
    sizes, and its tokenizer, in which every word of a scene's captions and of the prompt is one
    token. Return what they say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(DEFAULT_CHECKPOINT / name, folder / name)
    return ModelConfig.from_folder(folder)


def write_json(path: Path, value: object) -> None:
    """Write a value as people read JSON, with a space a level."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
