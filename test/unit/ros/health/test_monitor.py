"""What is told at once and what is counted: faults as they are reported, what was lost, states."""

from __future__ import annotations

import dataclasses
import errno

import pytest
import rclpy.logging
from log_support import Log

from perceptiondlm_ros.errors import BackendError, InputError, OutOfMemoryError
from perceptiondlm_ros.messages.matching import Unmatched
from perceptiondlm_ros.ros.health import faults
from perceptiondlm_ros.ros.health.faults import Failure, Fault, Level
from perceptiondlm_ros.ros.health.monitor import Counters, Monitor, Throttle
from perceptiondlm_ros.ros.health.status import Activity


class Told:
    """A monitor with a log and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.log = Log()
        self.monitor = Monitor(self.log, lambda: self.now)
        self.counters, self.status = self.monitor.counters, self.monitor.status

    def failed_pass(self) -> None:
        with pytest.raises(RuntimeError, match="no kernel"), self.status.passing():
            raise RuntimeError("no kernel")


def no_image(stamp: int = 5, gap: float | None = None, forgotten: bool = False) -> Fault:
    return faults.no_image("/image", "/detections", Unmatched(stamp, gap, forgotten), 0.1, 3)


FAULTS: list[tuple[Fault, str]] = [
    (faults.clock_set_back(), "stamps jumped backward; what was buffered is forgotten"),
    (
        no_image(gap=0.31),
        "the image nearest to the detections is 0.310 s away, above matching.tolerance 0.100 s; 3 "
        "unmatched so far",
    ),
    (
        no_image(gap=1.7, forgotten=True),
        "detections came so late that their image was forgotten; raise matching.images_kept or "
        "matching.memory, or use a faster detector; 3 unmatched so far",
    ),
    (
        no_image(stamp=0),
        "detections on /detections have no stamp, and no such image came; 3 unmatched so far",
    ),
    (
        no_image(),
        "detections came on /detections, but no image with a stamp on /image; 3 unmatched so far",
    ),
    (
        faults.no_masks("/masks", 4),
        "no masks within matching.tolerance of the detections came on /masks; boxes are captioned, "
        "4 frames so far. Set masks.enabled to false where there are none",
    ),
    (faults.unusable_masks("masks: got rgb8"), "masks: got rgb8"),
    (
        faults.dropped_regions({"outside the image": 2, "of no size": 1}, {"of class car": 4}, 9),
        "3 of 9 detections dropped: 2 outside the image, 1 of no size",
    ),
    (faults.dropped_regions({}, {"of class car": 3}, 9), ""),
    (faults.low_bits(12), ""),
    (faults.unreadable_image(InputError("encoding: got yuv"), 2), "encoding: got yuv"),
    (
        faults.failed_pass(RuntimeError("no kernel"), 5),
        "captioning failed: RuntimeError: no kernel",
    ),
    (faults.failed_worker(KeyError("x")), "worker failed: KeyError: 'x'"),
    (
        faults.unplaced_regions(2, 3, 89.0),
        "no marker for 2 of 3 regions: by camera_info a corner shows nothing within 89 degrees of "
        "the camera's axis; if the lens is not so wide, calibrate it with points out to the "
        "corners of the image",
    ),
    (faults.refused_request("too many wait"), "~/describe refused: too many wait"),
]


@pytest.mark.parametrize(("fault", "line"), FAULTS)
def test_a_fault_is_a_line_of_the_log(fault: Fault, line: str) -> None:
    told = Told()
    for _ in range(3):
        told.monitor.report(fault)
    assert told.log.warnings == [line] * bool(line), "not for each frame"


def test_what_is_lost_by_a_fault_is_counted_by_its_cause() -> None:
    told = Told()
    for fault, _ in FAULTS:
        told.monitor.report(fault)
    counters = told.counters
    assert counters.drop_reasons == {
        "outside the image": 2,
        "of no size": 1,
        "of class car": 7,
        "unreadable image": 2,
        "in a failed pass": 5,
    }
    assert (counters.regions_dropped, counters.regions_unplaced) == (17, 2)
    assert counters.images_forgotten == counters.requests_refused == counters.masks_missing == 1
    assert (counters.unmatched, counters.last_gap, counters.clock_jumps) == (4, None, 1)
    assert (counters.images_of_low_bits, counters.low_bits) == (1, 12)
    told.monitor.report(no_image(gap=0.31))
    assert counters.last_gap == 0.31


def test_a_transition_that_fails_is_an_error_each_time() -> None:
    told = Told()
    error = OutOfMemoryError("needs\n9 GiB")
    for _ in range(2):
        told.monitor.report(faults.failed_transition("configure", error))
    line = "configure failed: OutOfMemoryError: needs 9 GiB"
    assert told.log.errors == [line] * 2
    seen = told.status.snapshot()
    assert (seen.failures, seen.failure) == (2, Failure(line, out_of_memory=True, advises=True))


def test_workers_and_images_that_fail_are_kept_for_diagnostics() -> None:
    told = Told()
    told.monitor.report(faults.unreadable_image(InputError("encoding: got yuv"), 2))
    seen = told.status.snapshot()
    assert (seen.failures, seen.unreadable) == (0, Failure("encoding: got yuv"))
    told.monitor.report(faults.failed_worker(ValueError("no")))
    seen = told.status.snapshot()
    assert (seen.failures, seen.failure) == (1, Failure("ValueError: no"))


@pytest.mark.parametrize(
    ("error", "out_of_memory", "advises"),
    [
        (MemoryError(), True, False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True, False),
        (OutOfMemoryError("the GPU ran out of memory; use fewer regions"), True, True),
        (BackendError("no such device"), False, True),
        (RuntimeError("out of memory"), False, False),
    ],
)
def test_errors_about_memory_are_known_by_their_type(
    error: Exception, out_of_memory: bool, advises: bool
) -> None:
    failure = Failure.of(error)
    assert (failure.out_of_memory, failure.advises) == (out_of_memory, advises)


def test_every_level_can_be_told_one_after_the_other() -> None:
    """Which rclpy refuses of one line of code."""
    monitor = Monitor(rclpy.logging.get_logger("monitor"))
    for level in (*Level, *reversed(Level)):
        monitor.tell(level, "a line")


def test_one_line_a_period_for_each_cause_and_the_rest_is_counted() -> None:
    clock = [0.0]
    throttle = Throttle(period=5.0, now=lambda: clock[0])
    told = []
    for tenth in range(61):
        clock[0] = tenth / 10
        told += [throttle("image", "bad image"), throttle("regions", "bad box")]
    more = " (49 more like it before)"
    assert [line for line in told if line] == [
        *("bad image", "bad box"),
        *(f"bad image{more}", f"bad box{more}"),
    ]


# ---- what was lost ----

LOSSES = {
    *("unmatched", "replaced", "withdrawn", "frames_failed", "frames_discarded"),
    *("frames_late", "frames_skipped", "requests_refused", "regions_dropped"),
    *("unset_stamps", "backward_stamps", "masks_missing", "regions_unplaced"),
}


def test_each_loss_has_its_words_and_count_and_nothing_else_is_one() -> None:
    assert Counters().losses() == ""
    for counter in dataclasses.fields(Counters):
        if counter.name == "drop_reasons":
            continue  # says why of regions_dropped
        counters = Counters(**{counter.name: 7})
        line = counters.losses()
        assert bool(line) == (counter.name in LOSSES)
        assert not line or (line.startswith("7 ") and len(line.split()) >= 3)
        causes = counters.by_cause()
        assert len(causes) == len(LOSSES) and sum(causes.values()) == 7 * bool(line)
    line = Counters(replaced=3, backward_stamps=1).losses()
    assert "3 frames replaced by newer" in line and ", 1 messages older than" in line


def test_reasons_of_drops_add_up_and_stay_few_whatever_comes() -> None:
    counters = Counters()
    for size in range(1000):
        counters.add_dropped({f"outside the {size}x480 image": 2, "of no or negative size": 1})
    assert counters.drop_reasons.total() == counters.regions_dropped == 3000
    assert counters.drop_reasons["of no or negative size"] == 1000
    assert counters.drop_reasons["for other reasons"] > 0
    assert len(counters.drop_reasons) <= 21


def test_losses_are_told_on_the_way_where_there_are_new_ones_and_not_too_often() -> None:
    told = Told()
    told.monitor.tell_losses()
    assert told.log.infos == []
    for second in range(31):
        told.now = 100.0 + second
        told.monitor.count(replaced=second < 12)
        told.monitor.tell_losses()
    assert [line.split(":")[1].split()[0] for line in told.log.infos] == ["1", "11", "12"]


def test_losses_are_summed_up_at_the_end_but_not_twice() -> None:
    told = Told()
    told.monitor.tell_losses(at_the_end=True)
    assert told.log.infos == []
    told.monitor.count(withdrawn=2)
    told.monitor.tell_losses()
    for _ in range(2):
        told.monitor.tell_losses(at_the_end=True)
        assert len(told.log.infos) == 2, "the sum once, although it was told on the way"
    told.monitor.count(frames_discarded=1)
    told.monitor.tell_losses(at_the_end=True)
    line = told.log.infos[2]
    assert line.startswith("lost or out of order so far: ")
    assert "2 detections withdrawn" in line and "1 frames not published" in line


# ---- what the node does, and how it goes ----


def test_an_activity_is_timed_from_its_start_whatever_its_detail() -> None:
    told = Told()
    told.status.enter(Activity.BUILDING, "3 %")
    told.now = 195.0
    told.status.enter(Activity.BUILDING, "80 %")
    seen = told.status.snapshot()
    assert (seen.activity, seen.since, seen.detail) == (Activity.BUILDING, 100.0, "80 %")


def test_passes_are_timed_and_failures_counted_until_one_goes_well() -> None:
    told = Told()
    for n in (1, 2):
        told.failed_pass()
        assert told.status.snapshot().failures == n
    assert told.status.snapshot().pass_times == ()
    with told.status.passing():
        assert told.status.snapshot().pass_since == 100.0
        told.now = 100.5
    seen = told.status.snapshot()
    assert (seen.failures, seen.pass_since, seen.pass_times) == (0, None, (0.5,))
    assert seen.failure == Failure("RuntimeError: no kernel"), "kept for whoever comes later"


def test_another_activity_ends_failures_but_its_own_stay() -> None:
    told = Told()
    told.failed_pass()
    told.status.enter(Activity.INACTIVE)
    assert told.status.snapshot().failures == 0
    told.status.failed(Failure("activate failed: RuntimeError: no"))
    told.status.enter(Activity.INACTIVE, "again")
    assert told.status.snapshot().failures == 1


def test_latencies_are_kept_where_there_is_a_stamp_and_not_for_ever() -> None:
    told = Told()
    told.status.published(0.25)
    told.now = 103.0
    told.status.published(None)
    assert told.status.snapshot().latencies == (0.25,)
    assert told.status.snapshot().last_published == 103.0
    for _ in range(2000):
        told.status.published(0.5)
    assert set(told.status.snapshot().latencies) == {0.5}
