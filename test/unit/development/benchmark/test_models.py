import json
from pathlib import Path
from typing import Any

import pytest

from perceptiondlm_ros.development.benchmark import models
from perceptiondlm_ros.development.benchmark.models import (
    available_backends,
    chosen_backends,
    find_checkpoint,
    find_models,
)
from perceptiondlm_ros.development.benchmark.options import parse
from perceptiondlm_ros.development.benchmark.random_checkpoint import RECIPE
from perceptiondlm_ros.development.benchmark.sizes import SIZES, Size
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.export.exporter import ExportOptions
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT

TINY = Size(
    vocabulary=512,
    vision_width=16,
    vision_inner=16,
    vision_layers=2,
    vision_heads=1,
    width=16,
    inner=16,
    layers=1,
    heads=1,
    dtype="float32",
)


@pytest.fixture(autouse=True)
def _small_is_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", TINY)


def test_random_weights_are_made_once(tmp_path: Path) -> None:
    options = parse(["--output", str(tmp_path)])
    folder = find_checkpoint(options)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert find_checkpoint(options) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize("found", ["{", json.dumps({"recipe": 0}), None])
def test_random_weights_of_another_version_are_made_anew(tmp_path: Path, found: str | None) -> None:
    options = parse(["--output", str(tmp_path)])
    folder = find_checkpoint(options)
    expected = (folder / RECIPE).read_text()
    (folder / RECIPE).unlink()
    if found is not None:
        (folder / RECIPE).write_text(found)
    assert (find_checkpoint(options) / RECIPE).read_text() == expected
    assert ModelConfig.from_folder(folder).language.vocab_size == 512


def test_a_checkpoint_without_a_name_is_the_packaged_one() -> None:
    assert find_checkpoint(parse(["--checkpoint"])) == DEFAULT_CHECKPOINT


def test_all_backends_that_are_here_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_backends(parse([])) == available_backends()
    monkeypatch.setattr(models, "available_backends", lambda: ("torch", "onnx"))
    assert chosen_backends(parse([])) == ("torch", "onnx")
    assert chosen_backends(parse(["--backends", "onnx"])) == ("onnx",)
    with pytest.raises(InputError, match="tensorrt can't run here, expected one of torch, onnx"):
        chosen_backends(parse(["--backends", "torch", "tensorrt"]))


def test_a_checkpoint_is_exported_once_for_backends_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []

    def export(_: Path, output: Path, options: ExportOptions, **named: Any) -> None:
        named["progress"]("tracing")
        made.append((named["name"], options.precision))
        output.mkdir()

    monkeypatch.setattr("perceptiondlm_ros.export.exporter.export", export)
    options = parse(["--output", str(tmp_path), "--precision", "fp16"])
    told: list[str] = []
    checkpoint = find_checkpoint(options)
    assert find_models(options, checkpoint, ("torch",), told.append) == {"torch": checkpoint}
    assert made == told == []
    for _ in range(2):
        found = find_models(options, checkpoint, ("torch", "onnx"), told.append)
    assert found["torch"] == checkpoint and found["onnx"].name.endswith("-fp16")
    assert made == [("random-small", "fp16")]
    assert told == ["exporting random-small: tracing"]


def test_exports_of_different_checkpoints_don_t_mix(tmp_path: Path) -> None:
    options = parse(["--output", str(tmp_path)])
    names = set()
    for content in ("a", "ab"):
        checkpoint = tmp_path / content / "small"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_text(content)
        names.add(models.export_folder(options, checkpoint).name)
    assert len(names) == 2 and all(name.startswith("small-") for name in names)
