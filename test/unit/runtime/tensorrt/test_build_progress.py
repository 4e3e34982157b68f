"""Progress is told as it comes, and every second when nothing comes."""

from __future__ import annotations

import threading

import pytest
from patience import PATIENCE

from perceptiondlm_ros.runtime.tensorrt.build_progress import (
    BuildClock,
    BuildProgress,
    log_progress,
)


def test_it_reads_as_what_diagnostics_say() -> None:
    assert str(BuildProgress("denoiser", "timing", 95.4)) == "building denoiser for 95 s (timing)"
    half = BuildProgress("denoiser", "timing", 95.4, 0.5)
    assert str(half) == "building denoiser for 95 s (timing, 50%)"


def test_it_is_told_while_nothing_happens() -> None:
    told: list[BuildProgress] = []
    enough = threading.Event()

    def report(progress: BuildProgress) -> None:
        told.append(progress)
        if len(told) > 3:
            enough.set()

    clock = BuildClock("denoiser", report)
    clock.enter("timing", 0.25)
    with clock.ticking(every=0.01):
        assert enough.wait(PATIENCE)
    assert {(p.graph, p.phase, p.fraction) for p in told} == {("denoiser", "timing", 0.25)}
    assert [p.seconds for p in told] == sorted(p.seconds for p in told)


def test_nobody_needs_to_listen() -> None:
    clock = BuildClock("denoiser", None)
    with clock.ticking(every=0.001):
        assert clock.enter("timing")
    clock.check()


def test_what_the_report_raises_is_kept_and_it_is_not_called_again() -> None:
    calls: list[str] = []

    def report(progress: BuildProgress) -> None:
        calls.append(progress.phase)
        raise RuntimeError("enough")

    clock = BuildClock("denoiser", report)
    assert not clock.enter("one")
    assert not clock.enter("two")
    assert calls == ["one"]
    with pytest.raises(RuntimeError, match="enough"):
        clock.check()


def test_the_log_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    report = log_progress(every=10)
    for seconds in (0.0, 1.0, 9.9, 10.1, 12.0, 25.0):
        report(BuildProgress("denoiser", "timing", seconds))
    assert [record.getMessage().split(" for ")[1] for record in caplog.records] == [
        "0 s (timing)",
        "10 s (timing)",
        "25 s (timing)",
    ]
