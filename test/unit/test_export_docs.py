"""The commands of docs/export.md run, in their order, and its tables say what the code says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from exported_models import export_copy

from perceptiondlm_ros.cli.main import main
from perceptiondlm_ros.preflight.jetpack import JETPACKS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
ELSEWHERE = ("sudo", "python3", "source", "pip")
"""Commands that need a robot or a network."""

NEEDS_A_DOWNLOAD = ("MSALab/PerceptionDLM", "published-bf16")


def commands() -> list[list[str]]:
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose heading begins so."""
    table = TEXT[TEXT.index(f"| {heading} |") :].partition("\n\n")[0]
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_commands_that_need_no_robot_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first exports, the others use what it wrote."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("perceptiondlm_ros.export.exporter.export", export_copy)
    run = 0
    for program, *arguments in commands():
        if program != "perceptiondlm":
            assert program in ELSEWHERE, f"{program} is neither run nor known to run elsewhere"
        elif not any(name in arguments for name in NEEDS_A_DOWNLOAD):
            assert main(arguments) == 0, (arguments, *capsys.readouterr())
            run += 1
    assert run >= 7


def test_jetpacks_are_those_that_are_known() -> None:
    told = {(row[0], row[2], row[3]) for row in rows("JetPack")}
    assert told == {(jetpack.name, jetpack.tensorrt, jetpack.cuda) for jetpack in JETPACKS}
    for row, jetpack in zip(rows("JetPack"), JETPACKS, strict=True):
        assert (row[4] == "too old") == (not jetpack.usable)


def test_every_backend_says_whether_it_was_run() -> None:
    for row in rows("backend"):
        assert row[3].startswith(("yes, 20", "not run")), row
        assert row[3].startswith("not run") or row[4], f"{row} names no versions"


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert not [name for name in links if "://" not in name and not (ROOT / "docs" / name).exists()]
