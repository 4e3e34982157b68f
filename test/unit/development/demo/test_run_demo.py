"""What the demo does before it starts processes and after they have ended."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from perceptiondlm_ros.development.demo import run_demo
from perceptiondlm_ros.development.demo.demo_output import ALL_WELL, NO_CAPTIONS, TOO_FEW_RIGHT
from perceptiondlm_ros.development.demo.processes import Processes, add_common_options
from perceptiondlm_ros.development.demo.world import World, add_world, world_of


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_world(parser, start_required=True)
    add_common_options(parser, "out", "all", seconds=20.0)
    return parser.parse_args(["--start-ns=5", *arguments])


def test_world_and_domain_are_those_that_were_named() -> None:
    options = parse("--seed=3", "--objects=4", "--domain=42")
    assert (world_of(options), options.domain) == (World(3, 4, 5), 42)
    assert 0 <= parse().domain <= 101


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--seed=1048576", "expected a whole number from 0 to 1048575"),
        ("--objects=0", "1 to 12"),
        ("--domain=102", "0 to 101"),
        ("--seconds=0", "a number from 0.1 to 3600"),
        ("--seconds=nan", "a number from 0.1 to 3600"),
        ("--seconds=soon", "a number from 0.1 to 3600"),
    ],
)
def test_bad_value_is_refused_with_what_was_expected(
    option: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(option)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_only_what_an_earlier_demo_left_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b"
    run_demo.clear(output)
    (output / "bag").mkdir()
    for name in ("annotated_001.0s.png", "node.log", "bag/bag.mcap", "holiday.png", "notes.log"):
        (output / name).touch()
    run_demo.clear(output)
    assert sorted(path.name for path in output.iterdir()) == ["holiday.png", "notes.log"]


def test_output_that_is_a_file_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SystemExit) as end:
        run_demo.main([f"--output={tmp_path / 'file'}"])
    assert end.value.code == 2
    assert "expected a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("ended", "status", "says"),
    [
        (("recorder", ALL_WELL), 0, ()),
        (("recorder", TOO_FEW_RIGHT), TOO_FEW_RIGHT, ("fewer than 80 %", "node.log")),
        (("recorder", NO_CAPTIONS), NO_CAPTIONS, ("of the node", "logs: ")),
        (("recorder", 1), 1, ("recorder ended", "of the recorder")),
        (("node", 0), 1, ("node ended", "status 0", "of the node")),
        (("camera", -9), 1, ("camera ended", "of the camera", "recorder.log")),
        (None, NO_CAPTIONS, ("no end", "of the recorder")),
    ],
)
def test_status_and_what_is_said_of_a_failure(
    ended: tuple[str, int] | None,
    status: int,
    says: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("camera", "node", "recorder"):
        (tmp_path / f"{name}.log").write_text(f"last words of the {name}\n")
    assert run_demo.conclude(ended, Processes(tmp_path, {})) == status
    told = capsys.readouterr().err
    assert all(text in told for text in says) and bool(told) == bool(says)
