"""How many threads compute, and how they wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from perceptiondlm_ros.cli.main import main
from perceptiondlm_ros.runtime import compute_threads
from perceptiondlm_ros.runtime.compute_threads import (
    ComputeThread,
    sleep_while_waiting,
    thread_count,
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The process's variables, none to begin with, on four cores without control groups."""
    variables: dict[str, str] = {}
    monkeypatch.setattr("os.environ", variables)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5, 7})
    monkeypatch.setattr(compute_threads, "_GROUPS", Path("/none"))
    return variables


@pytest.mark.parametrize(
    ("limit", "count"), [("2", 2), ("1", 1), ("8", 4), ("0", 4), ("", 4), ("many", 4)]
)
def test_threads_are_the_cores_unless_fewer_are_allowed(
    limit: str, count: int, environment: dict[str, str]
) -> None:
    environment["OMP_NUM_THREADS"] = limit
    assert thread_count() == count
    assert thread_count(7) == 7


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 4),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "250000 100000"}, 2),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "800000 100000"}, 4),
        ("0::/", {}, 4),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ("0::/the/hosts", {"cpu.max": "200000 100000"}, 2),
        (
            "3:memory:/a\n2:cpu,cpuacct:/a\n0::/a",
            {"cpu/a/cpu.cfs_quota_us": "200000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
@pytest.mark.usefixtures("environment")
def test_no_more_threads_than_the_quota_grants(
    groups: str,
    files: dict[str, str],
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, content in {**files, "groups": groups}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(compute_threads, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(compute_threads, "_GROUP_FILES", tmp_path)
    assert thread_count() == count


def waiting(environment: dict[str, str]) -> dict[str, str]:
    """What the variables say of how threads wait; pytest has one of its own."""
    return {name: value for name, value in environment.items() if "OMP" in name}


@pytest.mark.parametrize("given", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "5"}])
def test_threads_wait_as_the_user_says(given: dict[str, str], environment: dict[str, str]) -> None:
    environment.update(given)
    sleep_while_waiting()
    assert waiting(environment) == given


def test_the_command_waits_asleep_and_a_caller_of_it_as_before(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert not waiting(environment)
    monkeypatch.setattr(sys, "argv", ["perceptiondlm", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert waiting(environment) == {"OMP_WAIT_POLICY": "PASSIVE"}


class Model:
    """Something large."""

    def fail(self) -> None:
        raise KeyError("missing")


class TestComputeThread:
    def test_calls_are_made_in_one_thread_of_its_own(self) -> None:
        thread = ComputeThread("own")
        names = [thread.call(lambda: threading.current_thread().name) for _ in range(2)]
        assert names == ["own", "own"]

    def test_what_a_call_raises_reaches_the_caller_and_ends_nothing(self) -> None:
        thread = ComputeThread("own")
        with pytest.raises(KeyError, match="missing"):
            thread.call(Model().fail)
        assert thread.call(lambda: 3) == 3

    def test_nothing_of_a_call_is_kept_and_the_thread_ends_with_its_owner(self) -> None:
        thread, model = ComputeThread("own"), Model()
        alive, worker = weakref.ref(model), thread.call(threading.current_thread)
        thread.call(model.__str__)
        thread.call(int)  # the one before is over
        del model
        assert alive() is None
        del thread
        worker.join(60)
        assert not worker.is_alive()

    def test_a_call_that_hangs_keeps_no_process_alive(self) -> None:
        hanging = """
import threading
from perceptiondlm_ros.runtime.compute_threads import ComputeThread

thread, began = ComputeThread("own"), threading.Event()
wait = lambda: (began.set(), threading.Event().wait())
threading.Thread(target=thread.call, args=(wait,), daemon=True).start()
began.wait()
"""
        assert (
            subprocess.run([sys.executable, "-c", hanging], timeout=60, check=False).returncode == 0
        )
