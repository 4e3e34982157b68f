from pathlib import Path

import pytest
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark.processes import WorkerProcess
from perceptiondlm_ros.development.benchmark.results import Subject
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.errors import BackendError


def started(folder: Path, subject: Subject) -> WorkerProcess:
    return WorkerProcess(subject, folder, "cpu", 2, folder / "worker.log")


def test_a_process_measures_until_it_is_closed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    subject = Subject("torch", "prefix")
    with started(tmp_path, subject) as worker:
        measured = worker.measure(Scenario(tiles=1, regions=2))
    assert measured["tokens"] == 12
    assert "torch" in subject.description
    assert subject.memory == measured["memory"]
    assert worker._process.returncode == 0


def test_why_a_model_does_not_load_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"config\.json can't be read"):
        started(tmp_path, Subject("torch", "exact"))


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        ("import os; os._exit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "for lack of memory"),
        ("raise SystemError('the driver is gone')", "the driver is gone"),
    ],
)
def test_how_a_process_ended_is_told(
    tmp_path: Path, ended: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec python3 -c "{ended}"\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(BackendError, match=message):
        started(tmp_path, Subject("torch", "exact"))
