"""What the demo does before it starts processes and after they have ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from perceptiondlm_ros.development.demo import run
from perceptiondlm_ros.development.demo.processes import Processes
from perceptiondlm_ros.development.demo.scoring import ALL_WELL, NO_CAPTIONS, TOO_FEW_RIGHT


def test_only_what_an_earlier_demo_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    for name in ("annotated_001.0s.png", "node.log", "bag/bag.mcap", "holiday.png", "notes.log"):
        (tmp_path / name).touch()
    run._clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.png", "notes.log"]


def test_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    run._clear(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_output_that_is_a_file_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SystemExit) as end:
        run.main([f"--output={tmp_path / 'file'}"])
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
    assert run._conclude(ended, Processes(tmp_path, {})) == status
    told = capsys.readouterr().err
    assert all(text in told for text in says) and bool(told) == bool(says)
