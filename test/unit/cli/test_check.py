"""`perceptiondlm check`, from the arguments to what is printed and the exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import exported_folder
import pytest

from perceptiondlm_ros.preflight.devices import DEVICES

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    exported_folder.save_exported(folder)
    return folder


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines as they are in a file, whatever runs the tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


def test_the_packaged_checkpoint_fits_this_machine(run: Any) -> None:
    status, out, err = run("check")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("fits ")


def test_a_report_is_grouped_and_ends_with_the_verdict(run: Any, exported: Path) -> None:
    status, out, _ = run("check", exported, "--device", "orin-nx-16")
    assert status == 0
    lines = out.splitlines()
    groups = [line for line in lines if re.fullmatch("[a-z]+", line)]
    assert groups == ["files", "graphs", "device", "memory", "libraries"]
    assert lines[0].split() == ["exported", "model", str(exported)]
    assert lines[1].startswith("device         Jetson Orin NX 16 GB, compute 8.7, 14.5 GiB usable")
    assert lines[-1] == "fits Jetson Orin NX 16 GB"
    marks = {line[2:6].strip() for line in lines if line.startswith("  ") and line[2] != " "}
    assert {"ok", "note"} <= marks


def test_texts_stand_under_each_other(run: Any, exported: Path) -> None:
    _, out, _ = run("check", exported, "--device", "orin-nx-16")
    starts = {len(match[0]) for match in re.finditer(r"(?m)^  (?:ok|note|warn|fail) +\S+ +", out)}
    assert len(starts) == 1


def test_memory_is_a_table(run: Any, exported: Path) -> None:
    _, out, _ = run("check", exported, "--device", "orin-nx-16")
    table = [line.split()[:2] for line in out.splitlines() if re.match(r" +\d+ +\d+ ", line)]
    assert [row[0] for row in table] == ["1", "3", "7"]


def test_a_failure_is_told_with_status_1(run: Any, exported: Path) -> None:
    (exported / "denoiser.onnx").write_bytes(b"")
    status, out, err = run("check", exported, "--device", "orin-nx-16")
    assert (status, err) == (1, "")
    assert "fail  denoiser.onnx" in out
    assert out.splitlines()[-1] == "would fail on Jetson Orin NX 16 GB: 2 failures"


def test_json_is_one_object_with_the_same_verdict(run: Any, exported: Path) -> None:
    status, out, _ = run("check", exported, "--device", "orin-nx-16", "--json")
    assert status == 0 and json.loads(out)["fits"] is True
    (exported / "tokenizer.json").unlink()
    status, out, _ = run("check", exported, "--device", "orin-nx-16", "--json")
    assert status == 1 and json.loads(out)["fits"] is False
    assert out.isascii()


def test_json_is_as_documented(run: Any, exported: Path) -> None:
    text = (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")
    table = text.partition("`--json` prints one object")[2]
    documented = set(re.findall(r"(?m)^\| `([a-z_.\[\]]+)` \|", table))

    def names(value: Any, place: str = "") -> set[str]:
        if isinstance(value, dict) and place != "libraries":
            parts = [names(v, f"{place}.{k}".lstrip(".")) for k, v in value.items()]
            return {place, *set[str]().union(*parts)} - {""}
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return names(value[0], f"{place}[]") - {f"{place}[]"} | {place}
        return {place}

    _, out, _ = run("check", exported, "--device", "orin-nx-16", "--json")
    assert names(json.loads(out)) == documented


def test_devices_are_listed(run: Any) -> None:
    status, out, _ = run("check", "--devices")
    assert status == 0
    rows = out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [device.name for device in DEVICES]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--device", "abacus"], "device is 'abacus', expected here, cpu, or one of"),
        (["/nothing/here"], "does not exist"),
        (["--precision", "fp4"], "invalid choice"),
        (["nobody/nothing"], "nobody/nothing"),
    ],
)
def test_what_cannot_be_checked_has_status_2(
    arguments: list[str], says: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run("check", *arguments)
    assert (status, out) == (2, "")
    assert says in err


def test_a_folder_of_another_kind_has_status_2(run: Any, tmp_path: Path) -> None:
    status, _, err = run("check", tmp_path)
    assert status == 2
    assert "holds neither manifest.json nor config.json" in err


def test_lines_are_wrapped_to_the_terminal(
    run: Any, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("check", exported, "--device", "orin-nx-16")
    body = out.splitlines()[3:]
    assert max(map(len, body)) <= 80
    assert any(line.startswith(" " * 20) for line in body)


def test_names_that_are_no_lines_stay_on_theirs(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "two\nlines \x1b[31m"
    exported_folder.save_exported(folder)
    _, out, _ = run("check", folder, "--device", "orin-nx-16")
    assert "\x1b" not in out
    assert out.splitlines()[1].startswith("device ")
