"""A folder that appears whole or not at all."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exported_folder import save_exported

from perceptiondlm_ros.errors import ExportError
from perceptiondlm_ros.export.folder import new_folder


def make(output: Path, text: str = "new", overwrite: bool = False, needed: int = 0) -> None:
    with new_folder(output, overwrite=overwrite, needed=needed) as folder:
        assert folder != output
        (folder / "file").write_text(text)


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "out", overwrite=False, needed=0) as folder:
        (folder / "file").write_text("new")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    assert (tmp_path / "out" / "file").exists()


def fail(output: Path, error: Exception, overwrite: bool = False) -> None:
    with new_folder(output, overwrite=overwrite, needed=0) as folder:
        (folder / "file").write_text("half")
        raise error


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "out", ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_export(tmp_path: Path) -> None:
    save_exported(tmp_path / "out")
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "out", ZeroDivisionError(), overwrite=True)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_one_that_is_killed_leaves_nothing_that_loads_and_is_not_in_the_way(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from perceptiondlm_ros.export.folder import new_folder\n"
        "with new_folder(Path(sys.argv[1]), overwrite=False, needed=0) as folder:\n"
        "    (folder / 'file').write_text('half')\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out.partial-*")), "the test is about what a killed one leaves"
    make(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "file").read_text() == "new"


def test_an_export_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    save_exported(tmp_path / "out")
    with pytest.raises(ExportError, match=r"holds an exported model already.*--overwrite"):
        make(tmp_path / "out")
    make(tmp_path / "out", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_of_a_link_only_the_link_is_replaced(tmp_path: Path) -> None:
    save_exported(tmp_path / "exports" / "first")
    (tmp_path / "out").symlink_to(tmp_path / "exports" / "first")
    make(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out").is_symlink() and (tmp_path / "out" / "file").exists()
    assert (tmp_path / "exports" / "first" / "manifest.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"exports", "out"}


def test_nothing_else_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("years")
    for output in (tmp_path / "out", tmp_path / "file"):
        with pytest.raises(ExportError, match="exists and is no exported model"):
            make(output, overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years"


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out", overwrite=False, needed=0) as folder:
        (folder / "file").write_text("first")
        with pytest.raises(ExportError, match="another export is writing"):
            make(tmp_path / "out", "second")
    assert (tmp_path / "out" / "file").read_text() == "first"


def test_too_little_space_is_told_before_the_work(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(ExportError, match=r"B free, and the export takes up to"):
        make(tmp_path / "out", needed=2 * free)


def test_a_disk_that_fills_up_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"out can't be written .*No space.*free space there"):
        fail(tmp_path / "out", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"can't be written.*choose another folder"):
        make(tmp_path / "file" / "out")
