"""The README's code runs, its commands exist, and its files are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from bag_support import scene, write_bag
from exported_models import export_copy

from perceptiondlm_ros.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = ("rosdep", "python3", "source", "pip", "colcon", "ros2", "hf")
"""Commands that need a robot or a network."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_the_python_example_captions_what_is_there() -> None:
    (source,) = blocks("python")
    run = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    heart, cross = run.stdout.splitlines()
    assert "blue heart" in heart
    assert "orange cross" in cross


@pytest.mark.parametrize(
    "command",
    [command for command in commands() if not command[0].endswith("/perceptiondlm")],
    ids=lambda command: " ".join(command)[:60],
)
def test_commands_exist(command: list[str]) -> None:
    program = command[0]
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert command[1] in targets
    else:
        assert program in ELSEWHERE, f"{program} is neither run here nor known to run elsewhere"


def test_the_packages_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    write_bag(tmp_path / "demo_output" / "bag", scene(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("perceptiondlm_ros.export.exporter.export", export_copy)
    ours = [command[1:] for command in commands() if command[0].endswith("/perceptiondlm")]
    assert ours
    for arguments in ours:
        assert main(arguments) == 0, (arguments, *capsys.readouterr())
    assert (tmp_path / "captions.png").stat().st_size > 10_000
    assert (tmp_path / "exported" / "manifest.json").exists()
    assert (tmp_path / "captioned" / "metadata.yaml").exists()


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_every_folder_of_the_package_is_in_the_tree() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {str(Path(*Path(name).parts[:1])) for name in tracked if "/" in name}
    inside = {str(Path(*Path(name).parts[:2])) for name in tracked if name.count("/") >= 2}
    folders |= {name for name in inside if name.startswith("perceptiondlm_ros/")}
    folders.discard("perceptiondlm_ros")
    assert not [name for name in sorted(folders) if f"`{name}/`" not in TEXT]


def test_no_placeholder_is_left() -> None:
    variables = r"(?:OMP|PIP|PERCEPTIONDLM)_[A-Z_]+"
    assert not re.findall(r"\b[A-Z]{3,}_[A-Z_]{2,}\b", re.sub(variables, "", TEXT))
