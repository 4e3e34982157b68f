"""Progress is logged now and then, also when TensorRT says nothing for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from patience import PATIENCE

from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock, BuildProgress


def test_it_reads_as_what_diagnostics_say() -> None:
    assert str(BuildProgress("denoiser", "timing", 95.4)) == "building denoiser for 95 s (timing)"
    half = BuildProgress("denoiser", "timing", 95.4, 0.5)
    assert str(half) == "building denoiser for 95 s (timing, 50%)"


def test_the_log_gets_a_line_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    times = iter((50.0, 50.0, 51.0, 59.9, 60.1, 62.0, 75.0))
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    clock = BuildClock("denoiser")
    for _ in range(6):
        clock.enter("timing")
    assert [record.getMessage().split(" for ")[1] for record in caplog.records] == [
        "0 s (timing)",
        "10 s (timing)",
        "25 s (timing)",
    ]


def test_it_is_told_while_nothing_happens(listen: Callable[[str, int], Any]) -> None:
    listener = listen("building denoiser", 4)
    clock = BuildClock("denoiser", every=0.01)
    clock.enter("timing", 0.25)
    with clock.ticking():
        assert listener.heard.wait(PATIENCE)
    seen = [record.args[0] for record in listener.records]
    assert {(p.graph, p.phase, p.fraction) for p in seen} == {("denoiser", "timing", 0.25)}
    assert [p.seconds for p in seen] == sorted(p.seconds for p in seen)
