from typing import Any

import numpy as np
import pytest
from tiny_checkpoint import picture, random_model, rectangles, tiny_config, tiny_tokenizer

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark import stopwatch
from perceptiondlm_ros.development.benchmark.stopwatch import Laps, TimedBackend
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.runtime.torch_backend import TorchBackend


class Clock:
    """Stands still, unless something takes its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: self.now)

    def takes(self, owner: Any, name: str, seconds: float, patch: pytest.MonkeyPatch) -> None:
        """Let a method take so long."""
        method = getattr(owner, name)

        def slow(*arguments: Any, **named: Any) -> Any:
            self.now += seconds
            return method(*arguments, **named)

        patch.setattr(owner, name, slow)


def captioned(backend: Any, regions: int = 2, steps: int = 6) -> list[list[int]]:
    captioner = Captioner(backend, tiny_tokenizer(), name="tiny", steps=steps)
    captions = captioner.describe(picture(48, 64), list(rectangles(48, 64, regions)))
    return [caption.token_ids for caption in captions]


@pytest.fixture
def backend() -> TorchBackend:
    return TorchBackend(random_model(tiny_config()))


def test_each_stage_gets_its_time(backend: TorchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    session = type(backend.start(*_inputs(), "exact", 4))
    clock.takes(backend, "start", 2.0, monkeypatch)
    clock.takes(session, "step", 0.5, monkeypatch)
    clock.takes(session, "state", 0.25, monkeypatch)
    timed = TimedBackend(backend, wait=lambda: None)
    clock.now = 10.0
    timed.laps.called = 9.0
    captioned(timed, steps=4)
    timed.laps.returned = clock.now + 1.0
    assert timed.laps.milliseconds() == {
        "preprocessing": 1000.0,
        "vision": 2000.0,
        "prefill": 500.0,
        "step": pytest.approx((3 * 500.0 + 250.0) / 3),
        "total": 1000.0 + 2000.0 + 4 * 500.0 + 250.0 + 1000.0,
    }


def _inputs() -> tuple[Any]:
    return (
        prepare_inputs(
            picture(48, 64),
            [list(rectangles(48, 64, 1))],
            config=tiny_config(),
            tokenizer=tiny_tokenizer(),
            prompt="x",
            caption_tokens=6,
        ),
    )


def test_captions_are_those_of_the_backend_itself(backend: TorchBackend) -> None:
    timed = TimedBackend(backend, wait=lambda: None)
    assert captioned(timed, regions=8) == captioned(backend, regions=8)
    assert timed.laps.groups == 2
    assert timed.laps.later_steps == 5
    assert timed.laps.positions > 40


def test_the_device_is_waited_for_only_where_a_stage_ends(backend: TorchBackend) -> None:
    waits: list[int] = []
    timed = TimedBackend(backend, wait=lambda: waits.append(len(timed.laps.prefilled)))
    captioned(timed)
    assert waits == [0, 0], "once after the encoding, once after the first step"


def test_one_step_is_all_prefill() -> None:
    laps = Laps(called=0.0, returned=4.0, started=[1.0], seen=[2.0], prefilled=[3.0])
    laps.denoised = [3.5]
    assert laps.milliseconds()["step"] == 0.0


def test_batches_of_one_call_are_added_up() -> None:
    laps = Laps(called=0.0, returned=11.0, later_steps=4)
    laps.started, laps.seen = [1.0, 6.0], [2.0, 7.0]
    laps.prefilled, laps.denoised = [3.0, 8.0], [5.0, 10.0]
    found = laps.milliseconds()
    assert found == {
        "preprocessing": 2000.0,
        "vision": 2000.0,
        "prefill": 2000.0,
        "step": 1000.0,
        "total": 11000.0,
    }
    assert np.isclose(sum(found.values()) - found["total"] + 3 * found["step"], 10000.0)
