"""The golden cases: what the published implementation computed on tiny random checkpoints."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.processing.model_inputs import group_regions, prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

ROOT = Path(__file__).parents[1]
GOLDEN = Path(os.environ.get("PERCEPTIONDLM_GOLDEN", ROOT.parent / "shared" / "golden"))

REMASKING = GOLDEN.with_name(f"{GOLDEN.name}-remasking")
"""Cases in which the model predicts the mask token, on checkpoints of their own."""


@dataclass(frozen=True)
class GoldenCase:
    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder.parents[1]

    @cached_property
    def case(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "golden.npz") as file:
            return dict(file)

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_folder(self.checkpoint)

    @cached_property
    def tokenizer(self) -> CaptionTokenizer:
        return CaptionTokenizer(self.checkpoint, self.config.slots)

    @cached_property
    def image(self) -> np.ndarray:
        (path,) = self.folder.glob("image.*")
        return np.asarray(Image.open(path).convert("RGB"))

    @cached_property
    def regions(self) -> list[Region]:
        names = sorted(self.folder.glob("mask_*.png"), key=lambda p: int(p.stem.split("_")[1]))
        masks = [np.asarray(Image.open(name).convert("L")) > 0 for name in names]
        return [Region.of_mask(mask) for mask in masks]

    def inputs(self) -> ModelInputs:
        (order,) = group_regions(self.regions, self.config.slots)
        return prepare_inputs(
            self.image,
            [[self.regions[index] for index in order]],
            config=self.config,
            tokenizer=self.tokenizer,
            prompt=self.case["prompt"],
            caption_tokens=self.case["caption_tokens"],
        )


CASES = [
    GoldenCase(path.parent)
    for folder in (GOLDEN, REMASKING)
    for path in sorted(folder.glob("*/cases/*/case.json"))
]
