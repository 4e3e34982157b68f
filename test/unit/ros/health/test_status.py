"""What the node tells about itself from several threads, and when a failure is over."""

from __future__ import annotations

import pytest

from perceptiondlm_ros.ros.health.faults import Failure
from perceptiondlm_ros.ros.health.status import Activity, Status


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.status = Status(lambda: self.now)

    def failed_pass(self) -> None:
        with pytest.raises(RuntimeError, match="no kernel"), self.status.passing():
            raise RuntimeError("no kernel")


def test_an_activity_is_timed_from_its_start_whatever_its_detail() -> None:
    clock = Clock()
    clock.status.enter(Activity.BUILDING, "3 %")
    clock.now = 195.0
    clock.status.enter(Activity.BUILDING, "80 %")
    seen = clock.status.snapshot()
    assert (seen.activity, seen.since, seen.detail) == (Activity.BUILDING, 100.0, "80 %")


def test_passes_are_timed_and_failures_counted_until_one_goes_well() -> None:
    clock = Clock()
    for n in (1, 2):
        clock.failed_pass()
        assert clock.status.snapshot().failures == n
    assert clock.status.snapshot().failure == Failure("RuntimeError: no kernel")
    assert clock.status.snapshot().pass_times == ()
    with clock.status.passing():
        assert clock.status.snapshot().pass_since == 100.0
        clock.now = 100.5
    seen = clock.status.snapshot()
    assert (seen.failures, seen.pass_since) == (0, None)
    assert seen.failure == Failure("RuntimeError: no kernel"), "kept for whoever comes later"
    assert clock.status.snapshot().pass_times == (0.5,)


def test_another_activity_ends_failures_but_its_own_stay() -> None:
    clock = Clock()
    clock.failed_pass()
    clock.status.enter(Activity.INACTIVE)
    assert clock.status.snapshot().failures == 0
    clock.status.failed(Failure("activate failed: RuntimeError: no"))
    clock.status.enter(Activity.INACTIVE, "again")
    assert clock.status.snapshot().failures == 1


def test_latencies_are_kept_where_there_is_a_stamp() -> None:
    clock = Clock()
    clock.status.published(0.25)
    clock.now = 103.0
    clock.status.published(None)
    assert clock.status.snapshot().latencies == (0.25,)
    assert clock.status.snapshot().last_published == 103.0
