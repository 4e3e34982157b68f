"""A process that measures, the times of its stages, and how its end is told."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import (
    picture,
    random_model,
    rectangles,
    save_checkpoint,
    tiny_config,
    tiny_tokenizer,
)

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark.measuring_process import (
    LoadedModel,
    Task,
    WorkerProcess,
)
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stage_times import STAGES, StageTimes, TimedBackend
from perceptiondlm_ros.errors import BackendError, CheckpointError, PerceptionDLMError
from perceptiondlm_ros.runtime.torch_backend import TorchBackend


def task(folder: Path, backend: str = "torch") -> Task:
    return Task(folder, backend, "exact", "cpu", 3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LoadedModel:
    return LoadedModel(task(checkpoint))


def test_each_call_is_measured_by_stage_with_its_captions(model: LoadedModel) -> None:
    one, again, twelve = (
        model.measure(Scenario(*scenario)) for scenario in ((1, 1), (1, 1), (3, 12))
    )
    assert "torch" in model.description and model.loading_seconds > 0
    assert set(one.milliseconds) == set(STAGES)
    assert all(value > 0 for value in one.milliseconds.values())
    assert (one.tokens, one.groups) == (6, 1)
    assert (twelve.tokens, twelve.groups) == (72, 2)
    assert one.digest == again.digest != twelve.digest
    assert one.memory["host"] > 10**7


def test_stages_make_up_the_total(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # This thread's own time, as others may take the processor between two stages.
    monkeypatch.setattr("time.perf_counter", time.thread_time)
    times = model.measure(Scenario(3, 6)).milliseconds
    parts = sum(times[stage] for stage in ("preprocessing", "vision", "prefill"))
    assert 0.5 * times["total"] < parts + 2 * times["step"] <= times["total"]


def test_few_steps_warm_up(model: LoadedModel, checkpoint: Path) -> None:
    few, all_ = (model.measure(Scenario(1, 6), few_steps=few) for few in (True, False))
    assert few.tokens == all_.tokens and few.digest != all_.digest
    two_steps = LoadedModel(replace(task(checkpoint), steps=2))
    assert few.digest == two_steps.measure(Scenario(1, 6)).digest


class Clock:
    """Stands still, unless something takes its time."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._patch = patch
        patch.setattr("time.perf_counter", lambda: self.now)

    def takes(self, owner: Any, name: str, seconds: float) -> None:
        """Let a method take so long."""
        method = getattr(owner, name)

        def slow(*arguments: Any, **named: Any) -> Any:
            self.now += seconds
            return method(*arguments, **named)

        self._patch.setattr(owner, name, slow)


def captioned(backend: Any, regions: int = 2, steps: int = 4) -> list[list[int]]:
    captioner = Captioner(backend, tiny_tokenizer(), name="tiny", steps=steps)
    captions = captioner.describe(picture(48, 64), list(rectangles(48, 64, regions)))
    return [caption.token_ids for caption in captions]


@pytest.fixture
def backend() -> TorchBackend:
    return TorchBackend(random_model(tiny_config()))


@pytest.mark.parametrize(("regions", "steps"), [(2, 4), (8, 4), (2, 1)])
def test_each_stage_gets_its_time(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch, regions: int, steps: int
) -> None:
    sessions: list[Any] = []
    start = backend.start
    monkeypatch.setattr(
        backend, "start", lambda *given: sessions.append(start(*given)) or sessions[-1]
    )
    captioned(backend)
    clock = Clock(monkeypatch)
    clock.takes(backend, "start", 2.0)
    clock.takes(type(sessions[0]), "step", 0.5)
    clock.takes(type(sessions[0]), "state", 0.25)
    timed = TimedBackend(backend, wait=lambda: None)
    timed.times = StageTimes()
    clock.now += 1.0
    captioned(timed, regions, steps)
    clock.now += 1.0
    timed.times.end("decoding")
    batches = len(sessions) - 1
    later = (steps - 1) * 0.5 + 0.25
    assert timed.times.milliseconds() == {
        "preprocessing": 1000.0,
        "vision": 2000.0 * batches,
        "prefill": 500.0 * batches,
        "step": pytest.approx(1000.0 * later / (steps - 1)) if steps > 1 else 0.0,
        "total": 2000.0 + batches * 1000.0 * (2.5 + later),
    }


def test_the_backend_is_unchanged_and_its_device_waited_for_only_where_a_stage_ends(
    backend: TorchBackend,
) -> None:
    waits: list[int] = []
    timed = TimedBackend(backend, wait=lambda: waits.append(timed.times.later_steps))
    assert captioned(timed, regions=8) == captioned(backend, regions=8)
    assert timed.times.groups == 2
    assert timed.times.later_steps == 3
    assert timed.times.positions > 40
    assert waits == [0, 0], "once after the encoding, once after the first step"


def test_a_process_measures_until_it_is_closed(checkpoint: Path, tmp_path: Path) -> None:
    with WorkerProcess(task(checkpoint), tmp_path / "log") as worker:
        assert "torch" in worker.description
        assert worker.measure(Scenario(tiles=1, regions=2)).tokens == 12
    assert worker._process.exitcode == 0


def test_why_a_model_does_not_load_is_told(tmp_path: Path) -> None:
    with pytest.raises(PerceptionDLMError, match="needs an exported model"):
        LoadedModel(task(tmp_path, "tensorrt"))
    with pytest.raises(CheckpointError, match=r"config\.json can't be read"):
        WorkerProcess(task(tmp_path), tmp_path / "log")


class Ending:
    """Does this in the process that it is sent to."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (Ending(exec, "import os; os.kill(os.getpid(), 9)"), "for lack of memory"),
        (
            Ending(exec, "raise SystemError('no driver')"),
            "with status 1, .*SystemError: no driver",
        ),
    ],
)
def test_how_a_process_ended_is_told(
    checkpoint: Path, tmp_path: Path, ending: Any, message: str
) -> None:
    with (
        WorkerProcess(task(checkpoint), tmp_path / "log") as worker,
        pytest.raises(BackendError, match=message),
    ):
        worker.measure(ending)
