import json
from pathlib import Path

import pytest
from exported_models import exported
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark.measuring import chosen_tiles
from perceptiondlm_ros.development.benchmark.models import available_backends
from perceptiondlm_ros.development.benchmark.options import parse
from perceptiondlm_ros.development.benchmark.run import FAILED, main
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT


def bench(folder: Path, *arguments: str) -> int:
    """Measure the checkpoint in `folder/tiny` with torch alone."""
    output = ["--output", str(folder / "output"), "--backends", "torch", "--steps", "3"]
    return main(["--checkpoint", str(folder / "tiny"), *output, *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    save_checkpoint(tmp_path / "tiny")
    return tmp_path


def test_a_run_measures_every_combination_and_keeps_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--regions", "1", "7", "--tiles", "1", "3", "--repetitions", "2") == 0
    output = folder / "output"
    kept = json.loads((output / "results.json").read_text())
    assert [(s["backend"], s["cache"], s["scenario"]) for s in kept["series"]] == [
        ("torch", cache, {"tiles": tiles, "regions": regions})
        for cache in ("exact", "prefix")
        for tiles in (1, 3)
        for regions in (1, 7)
    ]
    for series in kept["series"]:
        assert len(series["milliseconds"]["total"]) == 2
        assert len(series["digests"]) == 1, "random weights say the same at each repetition"
    assert all(subject["memory"]["host"] > 10**7 for subject in kept["subjects"])
    assert kept["settings"]["steps"] == 3 and kept["versions"]["torch"]
    assert (output / "time.png").is_file()
    told = capsys.readouterr().out
    assert "torch    exact" in told and str(output / "results.md") in told


def test_what_fails_is_noted_and_the_rest_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert bench(folder, "--regions", "1", "--repetitions", "1") == FAILED
    assert "is damaged or cut off" in capsys.readouterr().out
    kept = json.loads((folder / "output" / "results.json").read_text())
    assert kept["series"] == [] and all(subject["failure"] for subject in kept["subjects"])


def test_an_exported_model_is_measured_without_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "onnx" not in available_backends():
        pytest.skip("onnxruntime isn't here")
    model, shape = exported(DEFAULT_CHECKPOINT), ["--regions", "2"]
    output = ["--output", str(tmp_path), "--steps", "3", "--repetitions", "1"]
    arguments = ["--checkpoint", str(model), *shape, *output, "--caches", "exact"]
    assert main([*arguments, "--backends", "onnx"]) == 0
    (series,) = json.loads((tmp_path / "results.json").read_text())["series"]
    assert series["backend"] == "onnx" and len(series["digests"]) == 1
    assert main([*arguments, "--backends", "torch"]) == FAILED
    assert "is an exported model, which backend torch can't run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tiles", "2"], "tiles is 2, expected one of 1, 3, 4, 5, 6, 7"),
        (["--checkpoint", "nowhere"], "checkpoint nowhere does not exist"),
        (["--backends", "tensorrt"], "backend tensorrt can't run here"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "tensorrt" in arguments and "tensorrt" in available_backends():
        pytest.skip("TensorRT is here")
    assert bench(folder, *arguments) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("bench: ") and error.count("\n") == 1 and message in error


def test_an_output_that_is_a_file_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "output").write_text("")
    assert bench(folder) == FAILED
    assert str(folder / "output") in capsys.readouterr().err


def test_usual_tiles_are_those_that_the_checkpoint_knows() -> None:
    one = ModelConfig.from_dicts({}, {"max_sub_img": 1})
    two = ModelConfig.from_dicts({}, {"max_sub_img": 2})
    assert chosen_tiles(parse([]), one) == (1,)
    assert chosen_tiles(parse([]), two) == (1, 3)
    assert chosen_tiles(parse(["--tiles", "3"]), two) == (3,)
