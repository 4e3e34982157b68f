"""What is told at once: faults as they are reported, and what was lost, without a flood."""

from __future__ import annotations

import errno

import pytest
from log_support import Log

from perceptiondlm_ros.errors import BackendError, InputError, OutOfMemoryError
from perceptiondlm_ros.ros.health.faults import (
    ClockSetBack,
    DroppedRegions,
    FailedPass,
    FailedTransition,
    FailedWorker,
    Failure,
    Fault,
    NoImage,
    NoMasks,
    RefusedRequest,
    UnplacedRegions,
    UnreadableImage,
    UnusableMasks,
)
from perceptiondlm_ros.ros.health.monitor import Monitor, Throttle


class Told:
    """A monitor with a log and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.log = Log()
        self.monitor = Monitor(self.log, lambda: self.now)
        self.counters = self.monitor.counters


def no_image(**more: object) -> NoImage:
    given = {"gap": None, "forgotten": False, "unset": False, "tolerance": 0.1, "so_far": 3}
    return NoImage("/image", "/detections", **{**given, **more})  # type: ignore[arg-type]


FAULTS: list[tuple[Fault, str]] = [
    (ClockSetBack(), "stamps jumped backward; what was buffered is forgotten"),
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
        no_image(unset=True),
        "detections on /detections have no stamp, and no such image came; 3 unmatched so far",
    ),
    (
        no_image(),
        "detections came on /detections, but no image with a stamp on /image; 3 unmatched so far",
    ),
    (
        NoMasks("/masks", 4),
        "no masks within matching.tolerance of the detections came on /masks; boxes are captioned, "
        "4 frames so far. Set masks.enabled to false where there are none",
    ),
    (UnusableMasks("masks: got rgb8"), "masks: got rgb8"),
    (
        DroppedRegions({"outside the image": 2, "of no size": 1}, {"of class car": 4}, 9),
        "3 of 9 detections dropped: 2 outside the image, 1 of no size",
    ),
    (UnreadableImage(InputError("encoding: got yuv"), 2), "encoding: got yuv"),
    (FailedPass(RuntimeError("no kernel"), 5), "captioning failed: RuntimeError: no kernel"),
    (FailedWorker(KeyError("x")), "worker failed: KeyError: 'x'"),
    (
        UnplacedRegions(2, 3, 89.0),
        "no marker for 2 of 3 regions: by camera_info a corner shows nothing within 89 degrees of "
        "the camera's axis; if the lens is not so wide, calibrate it with points out to the "
        "corners of the image",
    ),
    (RefusedRequest("too many wait"), "~/describe refused: too many wait"),
]


@pytest.mark.parametrize(("fault", "line"), FAULTS)
def test_a_fault_is_a_line_of_the_log(fault: Fault, line: str) -> None:
    told = Told()
    for _ in range(3):
        told.monitor.report(fault)
    assert told.log.warnings == [line], "not for each frame"


def test_what_is_lost_by_a_fault_is_counted_by_its_cause() -> None:
    told = Told()
    for fault, _ in FAULTS:
        told.monitor.report(fault)
    assert told.counters.drop_reasons == {
        "outside the image": 2,
        "of no size": 1,
        "of class car": 4,
        "unreadable image": 2,
        "in a failed pass": 5,
    }
    assert told.counters.regions_dropped == 14 and told.counters.regions_unplaced == 2
    assert told.counters.images_forgotten == told.counters.requests_refused == 1


def test_what_a_setting_leaves_out_is_counted_and_not_told() -> None:
    told = Told()
    told.monitor.report(DroppedRegions({}, {"of class car": 4}, 9))
    assert told.counters.regions_dropped == 4 and told.log.warnings == []


def test_a_transition_that_fails_is_an_error_each_time() -> None:
    told = Told()
    for _ in range(2):
        told.monitor.report(FailedTransition("configure", OutOfMemoryError("needs\n9 GiB")))
    line = "configure failed: OutOfMemoryError: needs 9 GiB"
    assert told.log.errors == [line] * 2
    seen = told.monitor.status.snapshot()
    assert (seen.failures, seen.failure) == (2, Failure(line, out_of_memory=True, advises=True))


def test_workers_and_images_that_fail_are_kept_for_diagnostics() -> None:
    told = Told()
    told.monitor.report(UnreadableImage(InputError("encoding: got yuv"), 2))
    seen = told.monitor.status.snapshot()
    assert (seen.failures, seen.unreadable) == (0, Failure("encoding: got yuv"))
    told.monitor.report(FailedWorker(ValueError("no")))
    seen = told.monitor.status.snapshot()
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
    told.monitor.tell_losses(at_the_end=True)
    assert len(told.log.infos) == 2, "the sum, although it was told on the way"
    told.monitor.tell_losses(at_the_end=True)
    assert len(told.log.infos) == 2
    told.monitor.count(frames_discarded=1)
    told.monitor.tell_losses(at_the_end=True)
    line = told.log.infos[2]
    assert line.startswith("lost or out of order so far: ")
    assert "2 detections withdrawn" in line and "1 frames not published" in line
