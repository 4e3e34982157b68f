"""Two versions beside each other: where the older one comes from, and what their table says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_models import exported, tiny

from perceptiondlm_ros.development.benchmark import baseline
from perceptiondlm_ros.development.benchmark.baseline import CASES, SIDES, baseline_rows
from perceptiondlm_ros.development.benchmark.measuring import Case, Subject
from perceptiondlm_ros.development.benchmark.run_benchmark import FAILED, main
from perceptiondlm_ros.errors import InputError

MAKEFILE = """setup:
\t@echo made >> log; test ! -e broken
\t@mkdir -p .venv/bin; touch .venv/bin/python; test -z "$(MAKEFLAGS)$(VENV)"
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits, of which the second can't be set up."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "Makefile").write_text(MAKEFILE)
    for name in ("works", "broken"):
        (folder / name).touch()
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", name)
    monkeypatch.setattr(baseline, "HERE", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MAKEFLAGS", "VENV=elsewhere")
    return folder


def test_a_commit_is_checked_out_and_set_up_once_and_found_again(
    repository: Path, tmp_path: Path
) -> None:
    python = baseline.find_python("HEAD~1")
    checkout = python.parents[2]
    assert python.is_file() and (checkout / "works").exists()
    assert checkout.is_relative_to(tmp_path / "cache") and not (repository / ".venv").exists()
    (checkout / "works").unlink()  # a checkout that was broken off
    assert baseline.find_python(git(repository, "rev-parse", "HEAD~1")) == python
    assert (checkout / "works").exists() and (checkout / "log").read_text() == "made\n" * 2
    shutil.rmtree(checkout)
    assert baseline.find_python("HEAD~1") == python and python.is_file()
    assert baseline.find_python(str(checkout)) == python, "also as a folder that is set up"


@pytest.mark.parametrize(
    ("commit", "message"),
    [
        ("HEAD", "`make setup` in .* ended with status 2, .* last lines were .*Error"),
        ("nothing", "baseline nothing can't be checked out .* expected a commit"),
        ("--help", "baseline --help can't be checked out"),
    ],
)
def test_what_cannot_be_set_up_is_named(repository: Path, commit: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        baseline.find_python(commit)


def test_rows_hold_both_sides_their_ratios_and_what_was_not_measured() -> None:
    def measured(name: str, seconds: float) -> list[Subject]:
        both = [Subject(f"{name}, {side}", {}) for side in SIDES]
        for factor, subject in zip((2.0, 1.0), both, strict=True):
            for number, case in enumerate(CASES[name], 1):
                time = factor * seconds * number
                call = {"total": time, "processor": time / 4, "memory": {"host": factor * 1e8}}
                subject.answers[case] = [call, call, {**call, "total": 9.0 * time}]
        return both

    subjects = {name: measured(name, 0.1) for name in CASES}
    subjects["torch"][0].answers.clear()
    header, *rows = baseline_rows(subjects)
    table = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}
    six = table["onnx: 6 boxes, 640x480"]
    assert (six["baseline"], six["this"], six["ratio"], six["processor"]) == (
        *("200", "100", "0.50", "0.50"),
    )
    assert six["quartiles"] == "0.50-0.50"
    torch = table["torch: 6 boxes, 640x480"]
    assert (torch["baseline"], torch["this"], torch["ratio"]) == ("-", "100", "-")
    memory = table["default: peak memory of the process"]
    assert (memory[""], memory["baseline"], memory["this"]) == ("MB", "200", "100")
    assert table["onnx: 24 boxes against 6"]["this"] == "2.00"
    assert table["torch: one busy neighbour against alone"]["baseline"] == "-"
    assert len(rows) == sum(map(len, CASES.values())) + 4


def test_both_sides_are_timed_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = (90, 60)
    cases = {
        "onnx": (Case("a", size, 2), Case("p", size, 2, do="prepare"), Case("b", size, 2, busy=1)),
        "default": (Case("first", size, 1, do="first"),),
    }
    monkeypatch.setattr(baseline, "CASES", {name: cases.get(name, ()) for name in CASES})
    monkeypatch.setattr(baseline, "QUOTIENTS", (("q", "onnx", cases["onnx"][2], cases["onnx"][0]),))
    monkeypatch.setattr(baseline, "find_checkpoint", lambda *_: tiny())
    start = Subject.start

    def start_tiny(subject: Subject, log: Path) -> Any:
        subject.load["model"] = str(exported(tiny()))
        return start(subject, log)

    monkeypatch.setattr(Subject, "start", start_tiny)
    monkeypatch.setattr(baseline, "export_checkpoint", lambda *_: None)
    (tmp_path / "old/.venv/bin").mkdir(parents=True)
    python = tmp_path / "old/.venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    arguments = ["--baseline", str(tmp_path / "old"), "--output", str(tmp_path)]
    assert main(arguments) == FAILED
    assert "imports this version of the package, expected that of" in capsys.readouterr().err
    monkeypatch.setattr(baseline, "find_python", lambda _: Path(sys.executable))
    assert main([*arguments, "--repetitions", "2", "--device", "cpu"]) == 0
    kept = json.loads((tmp_path / "baseline.json").read_text())
    (rows,) = kept["tables"]
    assert [row["measured"] for row in rows] == [
        *("onnx: a", "onnx: p", "onnx: b", "default: first"),
        *("default: peak memory of the process", "q"),
    ]
    assert all(float(row[key]) > 0 for row in rows for key in (*SIDES, "ratio"))
    assert "failed" not in (tmp_path / "baseline.md").read_text()
    one, other = (
        [(case["name"], call["digest"]) for case in s["cases"] for call in case["calls"]]
        for s in kept["subjects"]
        if s["name"].startswith("default")
    )
    assert one == other != []
