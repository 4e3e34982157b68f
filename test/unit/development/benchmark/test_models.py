"""Random checkpoints, exports, and which of them a backend loads."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark import models
from perceptiondlm_ros.development.benchmark.models import (
    SIZES,
    find_checkpoint,
    find_models,
    write_random_checkpoint,
)
from perceptiondlm_ros.development.benchmark.worker import noise_image, random_regions
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.published import INDEX, WEIGHTS, published_shapes
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT

TINY: dict[str, Any] = {"vision": (32, 64, 3, 2), "language": (64, 96, 2, 4), "vocabulary": 512}


@pytest.fixture(autouse=True)
def _small_is_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", TINY)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "tensorrt")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "tiny"
    write_random_checkpoint(folder, **TINY)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    config = ModelConfig.from_folder(folder)
    model = load_model(folder, config, dtype=torch.float32, device=torch.device("cpu"))
    return dict(model.named_parameters())


def test_weights_are_the_same_each_time_also_in_shards(tiny: Path, tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "shards", **TINY, shard_bytes=100_000)
    whole, shards = weights(tiny), weights(tmp_path / "shards")
    assert all(torch.equal(whole[name], shards[name]) for name in whole)
    assert (tiny / WEIGHTS).is_file() and (tmp_path / "shards" / INDEX).is_file()
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    layers = [whole[f"language.layers.{k}.gate_up.weight"] for k in (0, 1)]
    assert not torch.equal(*layers) and not torch.equal(*layers[0].chunk(2))


def test_captions_are_finite_and_not_all_one_word(tiny: Path) -> None:
    captioner = Captioner.load(tiny, steps=4)
    captions = captioner.describe(noise_image(480, 480), random_regions(6, 480, 480))
    tokens = np.array([caption.token_ids for caption in captions])
    assert len(np.unique(tokens)) > 5
    assert len({tuple(row) for row in tokens.tolist()}) == 6
    assert all(0 < caption.confidence < 1 for caption in captions)


def test_the_published_size_is_that_of_the_published_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_write_weights", lambda *_: None)
    write_random_checkpoint(tmp_path, **SIZES["published"])
    config = ModelConfig.from_folder(tmp_path)
    count = sum(np.prod(shape, dtype=np.int64) for shape in published_shapes(config).values())
    assert count == pytest.approx(8.45e9, rel=0.005) and SIZES["published"]["dtype"] == "bfloat16"
    assert config.prefix_sees_captions and not config.corrected_roi_replay
    assert (config.slots, config.roi_output_size, config.max_tiles) == (6, (4, 4), 6)
    assert (config.caption_tokens, config.denoising_steps) == (32, 32)


def test_every_id_of_a_vocabulary_is_a_token_with_a_text(tiny: Path) -> None:
    tokenizer = CaptionTokenizer(tiny, 6)
    assert tokenizer.largest_id == TINY["vocabulary"] - 1
    assert all(tokenizer.decode_caption([index])[0] for index in range(460, 512))
    assert 5 <= len(tokenizer.encode_prompt(DEFAULT_PROMPT)) <= 12


def test_random_weights_are_made_once_and_anew_for_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = find_checkpoint(None, "small", tmp_path)
    written = (folder / WEIGHTS).stat().st_mtime_ns
    assert find_checkpoint(None, "small", tmp_path) == folder
    assert (folder / WEIGHTS).stat().st_mtime_ns == written
    monkeypatch.setitem(SIZES, "small", {**TINY, "vocabulary": 500})
    assert find_checkpoint(None, "small", tmp_path) != folder
    assert find_checkpoint("", "small", tmp_path) == DEFAULT_CHECKPOINT


def test_nothing_is_left_of_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        find_checkpoint(None, "small", tmp_path)
    assert not list(tmp_path.rglob("config.json"))


def test_a_checkpoint_is_exported_once_for_backends_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []

    def export(checkpoint: Path, folder: Path, precision: str, _: Path) -> None:
        made.append((checkpoint.name, precision))
        folder.mkdir()

    def found(content: str, *asked: str) -> dict[str, Path]:
        checkpoint = tmp_path / content / "small"
        checkpoint.mkdir(parents=True, exist_ok=True)
        if not (checkpoint / WEIGHTS).exists():
            (checkpoint / WEIGHTS).write_text(content)
        return find_models(checkpoint, asked, "fp16", tmp_path / "output")

    monkeypatch.setattr(models, "export_checkpoint", export)
    assert found("a", "torch") == {"torch": tmp_path / "a" / "small"} and made == []
    first = [found("a", "torch", "onnx")["onnx"].name for _ in range(2)]
    assert made == [("small", "fp16")]
    assert found("a").keys() == {"torch", "onnx"}, "all that are installed"
    other = found("ab", "onnx")["onnx"].name
    assert first[0] == first[1] != other, "exports of checkpoints of one name don't mix"
    assert all(name.startswith("small-") and name.endswith("-fp16") for name in (*first, other))
