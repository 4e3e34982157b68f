"""A captioner that needs no weights, and the command run in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiondlm_ros.captioner import Caption, Captioner
from perceptiondlm_ros.cli.main import main


class FakeCaptioner:
    """Says of each region whether it came as a box or a mask, and of what size."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.prompts: list[str | None] = []

    def describe(
        self, image: np.ndarray, regions: Sequence[Any], prompt: str | None = None
    ) -> list[Caption]:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        self.prompts.append(prompt)
        return [
            Caption(self.text_of(region), 0.5 + 0.1 * index, [3, index], index == 1)
            for index, region in enumerate(regions)
        ]

    @staticmethod
    def text_of(region: Any) -> str:
        if isinstance(region, tuple):
            return f"a box {region[2] - region[0]:g} wide"
        return f"a mask of {region.sum()} pixels"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[FakeCaptioner]:
    """The captioners that the command loads, instead of real ones."""
    loaded: list[FakeCaptioner] = []

    def load(path: str | None = None, **options: Any) -> FakeCaptioner:
        loaded.append(FakeCaptioner(path=path, **options))
        return loaded[-1]

    monkeypatch.setattr(Captioner, "load", load)
    return loaded


Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; returns its exit status, stdout and stderr."""

    def run_command(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        return (status, *capsys.readouterr())

    return run_command


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of 40 x 30 pixels."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (40, 30), (90, 120, 60)).save(path)
    return path


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A mask of 40 x 30 pixels whose left half is the region."""
    path = tmp_path / "half.png"
    mask = Image.new("L", (40, 30))
    mask.paste(1, (0, 0, 20, 30))
    mask.save(path)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Path:
    """A real checkpoint with random weights: its captions mean nothing."""
    root = Path(__file__).resolve().parents[4] / "shared" / "golden"
    return Path(os.environ.get("PERCEPTIONDLM_GOLDEN", root)) / "tiny-a"
