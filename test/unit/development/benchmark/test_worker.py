"""The process that measures: what it times, what it counts, and how its end is told."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from exported_models import exported, tiny
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE
from tiny_checkpoint import picture, random_model, rectangles, tiny_config, tiny_tokenizer

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark import worker as module
from perceptiondlm_ros.development.benchmark.measured_process import (
    MeasuredProcess,
    busy_neighbours,
)
from perceptiondlm_ros.development.benchmark.worker import (
    STAGES,
    Stages,
    Worker,
    noise_image,
    random_regions,
)
from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.processing.boundary import check_regions
from perceptiondlm_ros.runtime.torch_backend import TorchBackend

IMAGE = {"width": 90, "height": 60}


@pytest.fixture(scope="module")
def worker() -> Worker:
    loaded = Worker()
    described = loaded.load(str(tiny()), "torch", "cpu", steps=3, cache="exact")
    assert "torch" in described["description"] and described["seconds"] > 0
    return loaded


def test_each_call_is_measured_with_what_came_of_it(worker: Worker) -> None:
    one, again, twelve = (worker.describe(**IMAGE, regions=count) for count in (1, 1, 12))
    assert all(one[stage] > 0 for stage in STAGES)
    assert (one["tokens"], one["groups"]) == (6, 1)
    assert (twelve["tokens"], twelve["groups"]) == (72, 2)
    assert one["digest"] == again["digest"] != twelve["digest"]
    assert one["memory"]["host"] > 10**7


def test_few_steps_warm_up(worker: Worker) -> None:
    few, all_ = (worker.describe(**IMAGE, regions=6, few_steps=few) for few in (True, False))
    two_steps = Worker()
    two_steps.load(str(tiny()), "torch", "cpu", steps=2, cache="exact")
    assert few["digest"] == two_steps.describe(**IMAGE, regions=6)["digest"] != all_["digest"]


def test_preparing_stops_before_the_backend_and_the_next_call_runs_it(worker: Worker) -> None:
    digest = worker.describe(**IMAGE, regions=2)["digest"]
    for masks in (False, True):
        assert worker.prepare(**IMAGE, regions=2, masks=masks)["total"] > 0
    assert worker.describe(**IMAGE, regions=2)["digest"] == digest


def test_weights_can_be_computed_in_another_dtype() -> None:
    described = Worker().load(str(tiny()), device="cpu", dtype="bfloat16")
    assert "bfloat16" in described["description"]


def captioned(backend: Any, regions: int = 2, steps: int = 4) -> list[list[int]]:
    captioner = Captioner(backend, tiny_tokenizer(), name="tiny", steps=steps)
    captions = captioner.describe(picture(48, 64), list(rectangles(48, 64, regions)))
    return [caption.token_ids for caption in captions]


@pytest.mark.parametrize(("regions", "steps"), [(2, 4), (8, 4), (2, 1)])
def test_each_stage_gets_its_time_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch, regions: int, steps: int
) -> None:
    backend = TorchBackend(random_model(tiny_config()))
    alone = captioned(backend, regions, steps)
    now = [0.0]
    waits: list[float] = []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(module, "wait_for_device", lambda: waits.append(now[0]))

    def takes(method: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def slow(*given: Any) -> Any:
            now[0] += seconds
            return method(*given)

        return slow

    def slow_session(session: Any) -> Any:
        session.step, session.state = takes(session.step, 0.5), takes(session.state, 0.25)
        return session

    start = takes(backend.start, 2.0)
    monkeypatch.setattr(backend, "start", lambda *given: slow_session(start(*given)))
    stages = Stages(backend)
    stages.begin()
    now[0] += 1.0
    assert captioned(backend, regions, steps) == alone
    now[0] += 1.0
    stages.end("decoding")
    later = (steps - 1) * 0.5 + 0.25
    assert stages.seconds() == {
        "preprocessing": 1.0,
        "vision": 2.0,
        "prefill": 0.5,
        "step": pytest.approx(later / (steps - 1)) if steps > 1 else 0.0,
        "total": 4.5 + later,
    }
    assert waits == [3.0, 3.5], "once after the encoding, once after the first step"
    assert stages.groups == -(-regions // 6) and stages.positions > 40


@given(st.integers(1, 64), st.integers(8, 300), st.integers(8, 300))
def test_regions_are_of_the_image_and_always_the_same(count: int, height: int, width: int) -> None:
    boxes = random_regions(count, width, height)
    assert len(check_regions(boxes, height, width)) == count
    assert boxes == random_regions(count, width, height)
    masks = random_regions(count, width, height, masks=True)
    assert all(mask.shape == (height, width) and mask.any() for mask in masks)
    assert np.array_equal(noise_image(width, height), noise_image(width, height))


def test_a_device_is_waited_for_through_what_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used, waits = [False], []
    cuda = SimpleNamespace(
        is_initialized=lambda: used[0],
        synchronize=lambda: waits.append("torch"),
        mem_get_info=lambda: (3, 16),
    )
    runtime = SimpleNamespace(
        cudaDeviceSynchronize=lambda: waits.append("cuda-python"),
        cudaMemGetInfo=lambda: (0, 10, 16),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module.wait_for_device()
    assert set(module.peak_memory()) == {"host"}
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime)
    module.wait_for_device()
    assert module.peak_memory()["device"] == 6
    used[0] = True
    module.wait_for_device()
    assert module.peak_memory()["device"] == 13
    assert waits == ["cuda-python", "torch"]


def test_a_process_answers_until_it_is_closed_and_tells_what_fails(tmp_path: Path) -> None:
    with MeasuredProcess("tiny onnx", tmp_path / "log") as process:
        with pytest.raises(BackendError, match="tensorrt needs an exported model"):
            process.ask("load", model=str(tiny()), backend="tensorrt")
        process.ask("load", model=str(exported(tiny())), backend="onnx", device="cpu")
        assert process.ask("describe", **IMAGE, regions=2)["tokens"] == 12
        pid = process._process.pid
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("kill", [True, False])
def test_how_a_process_ended_is_told(tmp_path: Path, kill: bool) -> None:
    with MeasuredProcess("tiny torch", tmp_path / "log") as process:
        if kill:
            psutil.Process(process._process.pid).kill()
        message = "for lack of memory" if kill else "with status 1, .* 'regions'"
        with pytest.raises(BackendError, match=message):
            process.ask("describe", **IMAGE)


def test_neighbours_compute_until_they_are_not_wanted(tmp_path: Path) -> None:
    busy: list[psutil.Process] = []

    def interrupted() -> None:
        with busy_neighbours(2, tmp_path / "log"):
            children = psutil.Process().children()
            busy.extend(c for c in children if any("worker.py" in word for word in c.cmdline()))
            before = [child.cpu_times().user for child in busy]
            while any(c.cpu_times().user < b + 0.1 for c, b in zip(busy, before, strict=True)):
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(busy) == 2 and not any(child.is_running() for child in busy)


def test_a_process_ends_when_nobody_can_ask_it_any_more(tmp_path: Path) -> None:
    with MeasuredProcess("a busy one", tmp_path / "log") as process:
        process.ask("compute")
        process._requests.close()  # as the system does for a parent that is killed
        assert process._process.wait(PATIENCE) == 0
