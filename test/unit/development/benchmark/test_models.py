"""Random checkpoints, exports, and which of them a backend loads."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark import models, random_checkpoint
from perceptiondlm_ros.development.benchmark.models import (
    available_backends,
    choose_backends,
    find_checkpoint,
    find_models,
)
from perceptiondlm_ros.development.benchmark.random_checkpoint import (
    RECIPE,
    SIZES,
    RandomWeights,
    padded_tokenizer,
    write_random_checkpoint,
)
from perceptiondlm_ros.development.benchmark.scenario import noise_image, random_boxes
from perceptiondlm_ros.development.checkpoint_files import Architecture, TransformerSize
from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.export.exporter import ExportOptions
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.published import INDEX, WEIGHTS
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT

TINY = RandomWeights(
    Architecture(
        vision=TransformerSize(width=32, inner=64, layers=3, heads=2),
        language=TransformerSize(width=64, inner=96, layers=2, heads=4),
    ),
    vocabulary=512,
)


@pytest.fixture(autouse=True)
def _small_is_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", TINY)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "tiny"
    write_random_checkpoint(folder, TINY)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    config = ModelConfig.from_folder(folder)
    model = load_model(folder, config, dtype=torch.float32, device=torch.device("cpu"))
    return dict(model.named_parameters())


def test_one_seed_gives_one_checkpoint_also_in_shards_and_another_seed_another(
    tiny: Path, tmp_path: Path
) -> None:
    write_random_checkpoint(tmp_path / "shards", TINY, shard_bytes=100_000)
    write_random_checkpoint(tmp_path / "other", replace(TINY, seed=1))
    whole, shards, other = (weights(p) for p in (tiny, tmp_path / "shards", tmp_path / "other"))
    assert all(torch.equal(whole[name], shards[name]) for name in whole)
    assert not any(torch.equal(whole[name], other[name]) for name in whole)
    assert (tiny / WEIGHTS).is_file() and (tmp_path / "shards" / INDEX).is_file()
    largest = max(math.prod(shape) for shape in TINY.shapes().values()) * 4
    files = [file.stat().st_size for file in (tmp_path / "shards").glob("*.safetensors")]
    header = 10_000
    assert len(files) > 3 and max(files) <= max(100_000, largest) + header
    layers = [whole[f"language.layers.{k}.gate_up.weight"] for k in (0, 1)]
    assert not torch.equal(*layers) and not torch.equal(*layers[0].chunk(2))


def test_captions_are_finite_and_not_all_one_word(tiny: Path) -> None:
    image = noise_image(1, ModelConfig.from_folder(tiny))
    captions = Captioner.load(tiny, steps=4).describe(image, random_boxes(6, image))
    tokens = np.array([caption.token_ids for caption in captions])
    assert len(np.unique(tokens)) > 5
    assert len({tuple(row) for row in tokens.tolist()}) == 6
    confidence = [caption.confidence for caption in captions]
    assert np.isfinite(confidence).all() and min(confidence) > 0 and max(confidence) < 1


def test_sizes_are_as_told() -> None:
    published = SIZES["published"]
    assert published.size_bytes() / 2e9 == pytest.approx(8.45, rel=0.005)
    config = published.architecture.config(published.vocabulary)
    assert config.prefix_sees_captions and not config.corrected_roi_replay
    assert (config.slots, config.roi_output_size) == (6, (4, 4))
    assert (config.caption_tokens, config.denoising_steps, config.max_tiles) == (32, 32, 6)


@pytest.mark.parametrize("size", [400, 2000])
def test_every_id_of_a_vocabulary_is_a_token_with_a_text(size: int, tmp_path: Path) -> None:
    padded_tokenizer(size).save(str(tmp_path / "tokenizer.json"))
    tokenizer = CaptionTokenizer(tmp_path, 6)
    assert tokenizer.largest_id == size - 1
    assert all(tokenizer.decode_caption([index])[0] for index in range(size - 10, size))
    assert 5 <= len(tokenizer.encode_prompt(DEFAULT_PROMPT)) <= 12


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"200 tokens is too small, at least \d+ are needed"):
        padded_tokenizer(200)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt("told"), KeyboardInterrupt),
        (RuntimeError("no space left"), CheckpointError),
    ],
)
def test_nothing_is_left_of_a_write_that_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    expected: type[BaseException],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(random_checkpoint, "save_file", fail)
    with pytest.raises(expected, match=str(error)):
        write_random_checkpoint(tmp_path / "a", TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/a can't be written .* free space"):
        write_random_checkpoint(tmp_path / "file" / "a", TINY)


@pytest.mark.parametrize("found", ["{", json.dumps({"recipe": 0}), None])
def test_random_weights_are_made_once_by_a_version(tmp_path: Path, found: str | None) -> None:
    folder = find_checkpoint(None, "small", tmp_path)
    written = (folder / WEIGHTS).stat().st_mtime_ns
    assert find_checkpoint(None, "small", tmp_path) == folder
    assert (folder / WEIGHTS).stat().st_mtime_ns == written
    expected = (folder / RECIPE).read_text()
    (folder / RECIPE).unlink()
    if found is not None:
        (folder / RECIPE).write_text(found)
    assert (find_checkpoint(None, "small", tmp_path) / RECIPE).read_text() == expected
    assert (folder / WEIGHTS).stat().st_mtime_ns != written


def test_a_checkpoint_without_a_name_is_the_packaged_one(tmp_path: Path) -> None:
    assert find_checkpoint("", "small", tmp_path) == DEFAULT_CHECKPOINT


def test_all_backends_that_are_here_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backends(None) == available_backends()
    monkeypatch.setattr(models, "available_backends", lambda: ("torch", "onnx"))
    assert choose_backends(None) == ("torch", "onnx")
    assert choose_backends(("onnx",)) == ("onnx",)
    with pytest.raises(InputError, match="tensorrt can't run here, expected one of torch, onnx"):
        choose_backends(("torch", "tensorrt"))


def test_a_checkpoint_is_exported_once_for_backends_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []
    told: list[str] = []

    def export(_: Path, output: Path, options: ExportOptions, **named: Any) -> None:
        named["progress"]("tracing")
        made.append((named["name"], options.precision))
        output.mkdir()

    def found(content: str, *asked: str) -> dict[str, Path]:
        checkpoint = tmp_path / content / "small"
        checkpoint.mkdir(parents=True, exist_ok=True)
        if not (checkpoint / WEIGHTS).exists():
            (checkpoint / WEIGHTS).write_text(content)
        return find_models(
            checkpoint, asked, precision="fp16", output=tmp_path / "output", tell=told.append
        )

    monkeypatch.setattr("perceptiondlm_ros.export.exporter.export", export)
    monkeypatch.setattr(models, "available_backends", lambda: ("torch", "onnx"))
    assert found("a", "torch") == {"torch": tmp_path / "a" / "small"} and made == told == []
    first = [found("a", "torch", "onnx")["onnx"].name for _ in range(2)]
    assert made == [("small", "fp16")] and told == ["exporting small: tracing"]
    other = found("ab", "onnx")["onnx"].name
    assert first[0] == first[1] != other, "exports of checkpoints of one name don't mix"
    assert all(name.startswith("small-") and name.endswith("-fp16") for name in (*first, other))
