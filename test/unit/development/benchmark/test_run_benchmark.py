"""`make bench`: its options, what it leaves, and what it says where it can't."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_models import exported, tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark import machine
from perceptiondlm_ros.development.benchmark.run_benchmark import (
    FAILED,
    INTERRUPTED,
    main,
    parse,
)
from perceptiondlm_ros.development.benchmark.scenarios import choose_scenarios
from perceptiondlm_ros.model.config import ModelConfig


def chosen(*arguments: str, **expected: Any) -> bool:
    options = vars(parse(arguments))
    return {key: options[key] for key in expected} == expected


def test_what_is_said_goes_before_quick_and_that_before_what_is_usual() -> None:
    every = [1, 2, 3, 4, 5, 6, 12]
    assert chosen(like="small", checkpoint=None, backends=None, steps=None, repetitions=3)
    assert chosen(regions=every, output=Path("bench_output"))
    assert chosen("--quick", regions=[1, 6], steps=8, repetitions=1)
    told = ("--steps", "3", "--regions", "6", "2", "6", "--repetitions", "5")
    assert chosen("--quick", *told, regions=[6, 2], steps=3, repetitions=5)
    assert chosen("--checkpoint", checkpoint="") and chosen("--checkpoint", "a", checkpoint="a")
    assert chosen("--baseline", "HEAD~3", repetitions=7) and chosen("--neighbours", repetitions=15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "huge"], "invalid choice: 'huge'"),
        (["--backends", "torch", "jax"], "invalid choice: 'jax'"),
        (["--backends"], "expected at least one argument"),
        (["--regions", "0"], "got '0', expected a whole number from 1 to 64"),
        (["--steps", "many"], "got 'many', expected a whole number from 1 to 1024"),
        (["--like", "small", "--checkpoint", "a"], "not allowed with"),
        (["--baseline", "a", "--neighbours"], "not allowed with"),
        (["--baseline", "a", "--steps", "3"], "--steps: not allowed with argument --baseline"),
        (["--neighbours", "--quick"], "--quick: not allowed with argument --neighbours"),
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
    with contextlib.suppress(SystemExit):
        assert 1 <= parse([f"--steps={text}"]).steps <= 1024


def test_each_usual_image_is_cut_as_told() -> None:
    scenarios = choose_scenarios([2], ModelConfig.from_dicts({}, {}))
    sizes = {tiles: case.size for case, tiles in scenarios.items()}
    assert sizes == {1: (480, 480), 3: (1280, 720), 7: (640, 480)}
    one_tile = choose_scenarios([1, 2], ModelConfig.from_dicts({}, {"max_sub_img": 1}))
    assert {(case.regions, tiles) for case, tiles in one_tile.items()} == {(1, 1), (2, 1)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    save_checkpoint(tmp_path / "tiny")
    return tmp_path


def bench(folder: Path, *arguments: str) -> int:
    """Measure the checkpoint in `folder/tiny` with torch alone."""
    output = ["--output", str(folder / "output"), "--backends", "torch", "--steps", "3"]
    return main(["--checkpoint", str(folder / "tiny"), *output, *arguments])


def results(output: Path, name: str = "results") -> Any:
    return json.loads((output / f"{name}.json").read_text())


def test_a_run_measures_every_combination_and_keeps_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(folder, "--regions", "1", "7", "--repetitions", "2") == 0
    kept = results(folder / "output")
    times, memory = kept["tables"]
    assert [(row["backend"], row["tiles"], row["regions"]) for row in times] == [
        (f"torch {cache}", tiles, regions)
        for cache in ("exact", "prefix")
        for tiles in "357"
        for regions in "17"
    ]
    assert len({row["captions"] for row in times[:6]}) == 6
    assert times[1]["positions"].startswith("2 x ") and " " not in times[0]["positions"]
    assert {row["steps"] for row in times} == {"3"}
    assert all(float(row["host, GB"]) > 0.01 and "torch" in row["what"] for row in memory)
    for subject in kept["subjects"]:
        assert all(len(case["calls"]) == 2 for case in subject["cases"])
    told = capsys.readouterr().out
    markdown = (folder / "output" / "results.md").read_text()
    for word in ("3 denoising steps", "median of 2", kept["date"][:10], "torch exact"):
        assert word in told and word in markdown
    with Image.open(folder / "output" / "results.png") as picture:
        assert picture.width > picture.height > 400
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24) or ()) > 10


def test_what_fails_is_noted_and_the_rest_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = folder / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert bench(folder, "--regions", "1", "--repetitions", "1") == FAILED
    assert "torch exact failed: " in (told := capsys.readouterr().out)
    assert "is damaged or cut off" in told
    kept = results(folder / "output")
    assert kept["tables"][0] == [] and kept["subjects"][0]["failure"]
    assert not (folder / "output" / "results.png").exists()


def test_neighbours_and_an_exported_model_without_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--checkpoint", str(exported(tiny())), "--output", str(tmp_path), "--neighbours"]
    assert main([*arguments, "--backends", "onnx", "--repetitions", "1"]) == 0
    (rows,) = results(tmp_path, "neighbours")["tables"]
    assert [row["busy processes"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["against alone"] == "1.00" and all(float(row["longest"]) > 0 for row in rows)
    assert main([*arguments, "--backends", "torch"]) == FAILED
    assert "torch failed: backend torch needs a checkpoint" in capsys.readouterr().out

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = "perceptiondlm_ros.development.benchmark.benchmark_report.take_turns"
    monkeypatch.setattr(where, interrupted)
    assert main([*arguments, "--backends", "onnx"]) == INTERRUPTED
    assert results(tmp_path, "neighbours")["tables"][0][0]["median"] == "-", "what there was"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "nowhere"], "checkpoint nowhere does not exist"),
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
    monkeypatch.chdir(folder)
    Path("a-file").touch()
    assert bench(folder, *arguments) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("bench: ") and error.count("\n") == 1 and message in error
    assert main(["--baseline", "."]) == FAILED
    assert "baseline . has no .venv/bin/python, expected a checkout" in capsys.readouterr().err


def test_the_machine_its_gpus_and_libraries_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = machine.library_versions()
    assert {"numpy", "pillow"} <= versions.keys()
    assert versions["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = machine.describe_machine()
    assert found["processor"] and 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory_bytes"] > 10**8 and found["gpus"] == []
    tool = tmp_path / "nvidia-smi"
    for script, gpus in (
        ("echo 'NVIDIA H100'\necho 'NVIDIA L4'", ["NVIDIA H100", "NVIDIA L4"]),
        ("echo 'no driver' >&2\nexit 9", []),
    ):
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        assert machine.describe_machine()["gpus"] == gpus
