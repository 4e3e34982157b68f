"""Child processes: their logs, their ends, and that none is left."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from patience import PATIENCE
from ros_support import until_true

from perceptiondlm_ros.development.demo import processes as module
from perceptiondlm_ros.development.demo.processes import Processes

STUBBORN = """
    import signal, time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    open("ready", "w").close()
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(folder)}


def program(folder: Path, name: str, source: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(source))


def test_first_end_is_told_with_its_status_and_the_log_holds_what_was_said(tmp_path: Path) -> None:
    program(
        tmp_path, "short", "import sys; print('out', sys.argv[1:], flush=True); sys.exit('err')"
    )
    program(tmp_path, "long", "import time; time.sleep(600)")
    with Processes(tmp_path, environment(tmp_path)) as processes:
        processes.start("long", "long")
        processes.start("short", "short", "--flag", "x y")
        assert processes.wait_for_end(PATIENCE) == ("short", 1)
        assert processes.wait_for_end(0.01) is None
    assert processes.log("short").read_text().splitlines() == ["out ['--flag', 'x y']", "err"]
    name, status = processes.wait_for_end(PATIENCE) or ("", 0)
    assert name == "long" and status != 0


def test_a_process_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_S", 0.1)
    program(tmp_path, "stubborn", STUBBORN)
    with Processes(tmp_path, environment(tmp_path)) as processes:
        processes.start("stubborn", "stubborn")
        until_true((tmp_path / "ready").exists, "the file ready")
    assert processes.wait_for_end(PATIENCE) == ("stubborn", -9)


def test_a_killed_parent_takes_its_children_with_it(tmp_path: Path) -> None:
    program(tmp_path, "stubborn", STUBBORN)
    program(
        tmp_path,
        "parent",
        """
        import os, pathlib, time
        from perceptiondlm_ros.development.demo.processes import Processes
        with Processes(pathlib.Path("."), dict(os.environ)) as processes:
            processes.start("stubborn", "stubborn", speaks=True)
            time.sleep(600)
        """,
    )
    # The child speaks to this pipe too, so that the pipe is closed only when both are gone.
    read, write = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], stdout=write, env=environment(tmp_path)
    )
    os.close(write)
    with os.fdopen(read, "rb") as held:
        until_true((tmp_path / "ready").exists, "the file ready")
        parent.kill()
        parent.wait()
        held.read()
