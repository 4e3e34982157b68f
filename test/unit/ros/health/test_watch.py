"""What is worked out of counts, the status and the inputs, second by second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_support import Log

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.messages.matching import Unmatched
from perceptiondlm_ros.ros.health.faults import (
    dropped_regions,
    low_bits,
    no_image,
    unreadable_image,
)
from perceptiondlm_ros.ros.health.judging import Condition, Input, Situation, judge
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.ros.health.watch import Rates, Watch
from perceptiondlm_ros.ros.settings import Settings


@dataclass
class FakeStream:
    topic: str
    is_open: bool = True

    def seen(self, age: float | None) -> Input:
        return Input(self.topic, 1, age=age)


class Seconds:
    """Looks once a second at a node of which only the counts are there."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.monitor = Monitor(Log(), lambda: self.now)
        self.counters, self.status = self.monitor.counters, self.monitor.status
        self.images, self.found = FakeStream("/image"), FakeStream("/detections")
        self.masks = FakeStream("/masks", is_open=False)
        streams: list[Any] = [self.images, self.found, self.masks]
        self.watch = Watch(self.monitor, *streams, Settings, lambda: self.now)

    def look(self, seconds: int = 1, **each_second: int) -> tuple[Situation, dict[str, str]]:
        for _ in range(seconds):
            self.now += 1.0
            self.monitor.count(**each_second)
            seen = self.watch.look()
        return seen

    def stream(self) -> None:
        self.look()
        self.status.enter(Activity.STREAMING)


def test_rates_ages_and_reuse_of_a_stream() -> None:
    node = Seconds()
    node.stream()
    situation, values = node.look(
        20,
        images=30,
        detections=10,
        matched_exact=10,
        frames_captioned=2,
        frames_reused=8,
        regions_captioned=3,
        regions_reused=57,
    )
    assert values["image rate [Hz]"] == "30.0" and values["detections rate [Hz]"] == "10.0"
    assert values["published frames rate [Hz]"] == "10.00"
    assert values["captioned frames rate [Hz]"] == "2.00"
    assert values["reused captions [%]"] == "95.0"
    assert situation.images.age == 0.0 and situation.matched == 100
    situation, values = node.look(7, images=30)
    assert situation.detections.age == 7.0
    assert judge(situation).condition is Condition.DETECTIONS_STOPPED
    situation, values = node.look(10, images=30)
    assert values["detections rate [Hz]"] == "0.0", "what stops falls to zero within the span"


def test_latencies_and_passes_are_told_once_there_are_some() -> None:
    node = Seconds()
    _, values = node.look()
    assert values["latency p50 [s]"] == values["pass p95 [s]"] == ""
    assert values["image rate [Hz]"] == "0.0"
    for n in range(101):
        node.status.published(n / 100)
    with node.status.passing():
        node.now += 0.25
    _, values = node.look()
    assert (values["latency p50 [s]"], values["latency p95 [s]"]) == ("0.500", "0.950")
    assert values["pass p50 [s]"] == "0.250"


def test_one_message_soon_after_the_activation_counts() -> None:
    node = Seconds()
    node.look(5)
    node.status.enter(Activity.STREAMING)
    situation, _ = node.look(images=1)
    assert situation.images.age == 0.0


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 100)), min_size=1, max_size=60))
def test_looks_are_bounded_and_rates_never_negative(steps: list[tuple[float, int]]) -> None:
    rates = Rates(span=10.0)
    now, count = 0.0, 0
    for seconds, more in steps:
        now, count = now + seconds, count + more
        rates.look(now, {"n": count})
        assert rates.rate("n") >= 0.0
        assert rates.grown("n") <= count
    first, last = rates._looks[0][0], rates._looks[-1][0]
    assert last - first <= 10.0 + 5.0


def test_an_earlier_activation_is_forgotten() -> None:
    node = Seconds()
    node.stream()
    node.look(5, images=30, detections=30, unmatched=30)
    for activity in (Activity.INACTIVE, Activity.STREAMING):
        node.status.enter(activity)
        situation, _ = node.look()
        assert situation.images.age is None and situation.unmatched == 0


def test_a_failing_pass_is_told_until_one_goes_well_again() -> None:
    node = Seconds()
    node.stream()
    for _ in range(2):
        with pytest.raises(RuntimeError), node.status.passing():
            raise RuntimeError("no kernel\nimage")
    situation, values = node.look(3, images=1, detections=1)
    reason = "captioning fails: RuntimeError: no kernel image (2 times in a row)"
    assert judge(situation).reason == reason and values["failures in a row"] == "2"
    with node.status.passing():
        pass
    situation, values = node.look(3, images=1, detections=1)
    assert judge(situation).condition is Condition.STARTING
    assert values["failures in a row"] == "0" and "no kernel" in values["last error"]


def test_a_gap_of_stamps_and_images_of_low_bits_are_told_while_there_are_some() -> None:
    node = Seconds()
    node.stream()
    node.monitor.report(no_image("/image", "/detections", Unmatched(5, 0.31, False), 0.1, 1))
    node.monitor.report(low_bits(12))
    situation, values = node.look(images=1, detections=1)
    assert judge(situation).reason.startswith("stamp gap 0.31 s above 0.10 s")
    assert values["last stamp gap [s]"] == "0.310" and situation.low_bits == 12
    situation, _ = node.look(12, images=1, detections=1, matched_exact=1, frames_captioned=1)
    assert judge(situation).condition is Condition.STARTING, "nothing is wrong"


def test_unreadable_images_are_an_error_only_while_nothing_else_comes() -> None:
    node = Seconds()
    node.stream()
    node.monitor.report(unreadable_image(InputError("image encoding: got 'x'\nexpected rgb8"), 1))
    situation, _ = node.look(3, frames_failed=1, images=1, detections=1)
    assert situation.failure and situation.failure.reason == "image encoding: got 'x' expected rgb8"
    situation, _ = node.look(3, frames_captioned=1, frames_failed=1)
    assert situation.failure is None


def test_of_an_unreadable_image_and_a_failed_pass_the_newer_one_is_told() -> None:
    node = Seconds()
    node.stream()
    node.monitor.report(unreadable_image(InputError("the image"), 1))
    with pytest.raises(BackendError), node.status.passing():
        raise BackendError("the pass")
    with node.status.passing():
        pass
    situation, values = node.look(30, frames_failed=1, images=1, detections=1)
    assert situation.failure and "the pass" in situation.failure.reason
    assert "the pass" in values["last error"]
    node.monitor.report(unreadable_image(InputError("the image"), 1))
    situation, values = node.look(1, frames_failed=1, images=1, detections=1)
    assert situation.failure and situation.failure.reason == "the image" == values["last error"]


def test_dropped_regions_are_told_where_none_is_captioned() -> None:
    node = Seconds()
    node.stream()
    node.monitor.report(dropped_regions({"of no or negative size": 6}, {}, 6))
    node.look(20)
    node.monitor.report(dropped_regions({"outside the 640x480 image": 6}, {}, 6))
    situation, values = node.look(3)
    assert situation.dropped == "6 dropped lately: 6 outside the 640x480 image"
    assert values["dropped regions: of no or negative size"] == "6", "since the start"
    situation, _ = node.look(1, regions_reused=1)
    assert situation.dropped == ""


def test_a_running_pass_is_timed_against_what_is_usual() -> None:
    node = Seconds()
    for _ in range(3):
        with node.status.passing():
            node.now += 2.0
    node.stream()
    with node.status.passing():
        situation, _ = node.look(40, images=1, detections=1)
    assert situation.pass_for == 40.0 and situation.pass_usual == 2.0
    assert judge(situation).condition is Condition.HANGING


def test_masks_count_where_they_are_wanted() -> None:
    node = Seconds()
    node.stream()
    situation, _ = node.look(images=1, detections=1, masks_missing=1)
    assert situation.masks is None
    node.masks.is_open = True
    situation, values = node.look(4, images=1, detections=1, masks=2, masks_missing=1)
    assert situation.masks is not None and situation.masks.age == 0.0
    assert values["masks rate [Hz]"] == "1.6"
    assert judge(situation).condition is Condition.MASKS_MISSING


@pytest.mark.parametrize("seconds", [1, 30])
def test_every_value_is_text_and_has_a_name(seconds: int) -> None:
    node = Seconds()
    _, values = node.look(seconds, images=1)
    assert len(values) > 30
    for name, value in values.items():
        assert name and isinstance(value, str) and value != "nan"
    assert float(values["memory of the process [MB]"]) > 10


@pytest.mark.parametrize("error", [PermissionError("/proc"), psutil.AccessDenied(1)])
def test_where_the_system_does_not_tell_the_memory_everything_else_is_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(psutil.Process, "memory_info", refused)
    _, values = Seconds().look(images=1)
    assert values["memory of the process [MB]"] == "" and values["image publishers"] == "1"
