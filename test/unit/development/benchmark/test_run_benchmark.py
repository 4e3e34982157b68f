"""`make bench`: its options, what it leaves, and what it says where it can't."""

import contextlib
import json
from pathlib import Path

import pytest
from exported_models import exported, tiny
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark.models import available_backends
from perceptiondlm_ros.development.benchmark.run_benchmark import FAILED, main, parse


def test_defaults_measure_the_small_checkpoint_everywhere() -> None:
    options = parse([])
    assert (options.like, options.checkpoint, options.backends) == ("small", None, None)
    assert options.caches == ("exact", "prefix")
    assert options.regions == (1, 2, 3, 4, 5, 6, 12)
    assert (options.tiles, options.steps, options.repetitions) == (None, None, 3)
    assert options.output == Path("bench_output")


def test_quick_gives_way_to_what_is_said() -> None:
    quick = parse(["--quick"])
    assert (quick.regions, quick.steps, quick.repetitions) == ((1, 6), 8, 1)
    told = parse(["--quick", "--steps", "3", "--regions", "2", "--repetitions", "5"])
    assert (told.regions, told.steps, told.repetitions) == ((2,), 3, 5)


def test_a_value_that_is_named_twice_is_measured_once() -> None:
    options = parse(["--regions", "6", "1", "6", "--caches", "prefix", "prefix"])
    assert (options.regions, options.caches) == ((6, 1), ("prefix",))
    assert (parse(["--checkpoint"]).checkpoint, parse(["--checkpoint", "a"]).checkpoint) == (
        "",
        "a",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "huge"], "invalid choice: 'huge'"),
        (["--backends", "torch", "jax"], "invalid choice: 'jax'"),
        (["--caches"], "expected at least one argument"),
        (["--regions", "0"], "got '0', expected a whole number from 1 to 64"),
        (["--tiles", "-1"], "--tiles"),
        (["--steps", "many"], "got 'many', expected a whole number from 1 to 1024"),
        (["--like", "small", "--checkpoint", "a"], "not allowed with"),
        (["--rep", "3"], "--rep"),
        (["small"], "small"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    out, error = capsys.readouterr()
    assert end.value.code == 2 and out == "" and error.count("\n") == 1
    assert error.startswith("bench: ") and message in error and "bench --help" in error


@given(st.text(max_size=8))
def test_any_text_is_a_number_in_range_or_refused(text: str) -> None:
    steps = 1
    with contextlib.suppress(SystemExit):
        steps = parse([f"--steps={text}"]).steps
    assert 1 <= steps <= 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    save_checkpoint(tmp_path / "tiny")
    return tmp_path


def bench(folder: Path, *arguments: str) -> int:
    """Measure the checkpoint in `folder/tiny` with torch alone."""
    output = ["--output", str(folder / "output"), "--backends", "torch", "--steps", "3"]
    return main(["--checkpoint", str(folder / "tiny"), *output, *arguments])


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
    assert bench(folder, "--regions", "1", "--repetitions", "1", "--caches", "exact") == FAILED
    assert "is damaged or cut off" in " ".join(capsys.readouterr().out.split())
    kept = json.loads((folder / "output" / "results.json").read_text())
    assert kept["series"] == [] and all(subject["failure"] for subject in kept["subjects"])


def test_an_exported_model_is_measured_without_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "onnx" not in available_backends():
        pytest.skip("onnxruntime isn't here")
    model, shape = exported(tiny()), ["--regions", "2", "--tiles", "1"]
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
        (["--output", "a-file"], "a-file"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    folder: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "tensorrt" in arguments and "tensorrt" in available_backends():
        pytest.skip("TensorRT is here")
    monkeypatch.chdir(folder)
    Path("a-file").touch()
    assert bench(folder, *arguments) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("bench: ") and error.count("\n") == 1 and message in error
