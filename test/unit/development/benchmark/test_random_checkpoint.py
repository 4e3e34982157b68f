import math
from pathlib import Path

import numpy as np
import pytest
import torch

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark.random_checkpoint import (
    checkpoint_bytes,
    write_random_checkpoint,
)
from perceptiondlm_ros.development.benchmark.scenario import boxes, picture
from perceptiondlm_ros.development.benchmark.sizes import (
    SIZES,
    Size,
    model_config,
    processor_config,
)
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.published import INDEX, WEIGHTS, published_shapes

TINY = Size(
    vocabulary=512,
    vision_width=32,
    vision_inner=64,
    vision_layers=3,
    vision_heads=2,
    width=64,
    inner=96,
    layers=2,
    heads=4,
    dtype="float32",
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    config = ModelConfig.from_folder(folder)
    model = load_model(folder, config, dtype=torch.float32, device=torch.device("cpu"))
    return dict(model.named_parameters())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_loads_and_one_seed_gives_one_checkpoint(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_random_checkpoint(tmp_path / name, TINY, seed=seed)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not any(torch.equal(a[name], c[name]) for name in a)


def test_tensors_differ_from_each_other(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "a", TINY)
    found = weights(tmp_path / "a")
    layers = [found[f"language.layers.{k}.gate_up.weight"] for k in (0, 1)]
    assert not torch.equal(*layers)
    gate, up = layers[0].chunk(2)
    assert not torch.equal(gate, up)


def test_shards_hold_the_same_weights_and_keep_to_the_limit(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "whole", TINY)
    write_random_checkpoint(tmp_path / "sharded", TINY, shard_bytes=100_000)
    assert (tmp_path / "whole" / WEIGHTS).is_file()
    assert (tmp_path / "sharded" / INDEX).is_file()
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "sharded"))
    shapes = published_shapes(ModelConfig.from_folder(tmp_path / "sharded"))
    largest = max(math.prod(shape) for shape in shapes.values()) * 4
    header = 10_000
    sizes = [file.stat().st_size for file in (tmp_path / "sharded").glob("*.safetensors")]
    assert len(sizes) > 3 and max(sizes) <= max(100_000, largest) + header


def test_progress_adds_up_to_the_size_that_was_told(tmp_path: Path) -> None:
    told: list[int] = []
    write_random_checkpoint(tmp_path / "a", TINY, progress=told.append)
    assert sum(told) == checkpoint_bytes(TINY)


def test_captions_are_finite_and_not_all_one_word(tmp_path: Path) -> None:
    config = write_random_checkpoint(tmp_path / "a", TINY)
    image = picture(1, config)
    captions = Captioner.load(tmp_path / "a", steps=4).describe(image, boxes(6, image))
    tokens = np.array([caption.token_ids for caption in captions])
    assert len(np.unique(tokens)) > 5
    assert len({tuple(row) for row in tokens.tolist()}) == 6
    confidence = [caption.confidence for caption in captions]
    assert np.isfinite(confidence).all() and min(confidence) > 0 and max(confidence) < 1


@pytest.mark.parametrize(("like", "billions"), [("small", 0.0134), ("published", 8.45)])
def test_sizes_are_as_told(like: str, billions: float) -> None:
    size = SIZES[like]
    item = {"float32": 4, "bfloat16": 2}[size.dtype]
    assert checkpoint_bytes(size) / item / 1e9 == pytest.approx(billions, rel=0.005)
    config = ModelConfig.from_dicts(model_config(size), processor_config())
    assert config.prefix_sees_captions and not config.corrected_roi_replay
    assert (config.slots, config.roi_output_size) == (6, (4, 4))
    assert (config.caption_tokens, config.denoising_steps, config.max_tiles) == (32, 32, 6)


def test_nothing_is_left_of_an_interrupted_write(tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_random_checkpoint(tmp_path / "a", TINY, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/a can't be written .* free space"):
        write_random_checkpoint(tmp_path / "file" / "a", TINY)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device")

    monkeypatch.setattr("perceptiondlm_ros.development.benchmark.random_checkpoint.save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_random_checkpoint(tmp_path / "a", TINY)
    assert list(tmp_path.iterdir()) == []
