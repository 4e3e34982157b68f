"""What becomes of one frame, without topics."""

from __future__ import annotations

from threading import Lock

import pytest
from ros_support import FakeCaptioner, detection, detections, header, image, stamp

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.ros.captioning import Monitor, caption_frame
from perceptiondlm_ros.ros.counters import Counters
from perceptiondlm_ros.ros.frames import Frame
from perceptiondlm_ros.ros.outputs import latency
from perceptiondlm_ros.ros.status import Status
from perceptiondlm_ros.ros.throttle import Throttle


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.monitor = Monitor(Counters(), Status(), Throttle(self.lines.append), Lock())


def test_captions_come_in_the_detections_order_under_the_images_header() -> None:
    log = Log()
    items = [
        detection(0, 0, 9, 9, "b"),
        detection(-9, 0, -1, 9, "gone"),
        detection(5, 5, 20, 20, "a"),
    ]
    frame = Frame(image(5), detections(7, items))
    result = caption_frame(FakeCaptioner(), frame, "", 9, log.monitor)
    message = result.message
    assert message.header == header(5) and message.model == "fake"
    assert [(r.index, r.id, r.caption) for r in message.regions] == [
        (0, "b", "box 0 0 9 9"),
        (2, "a", "box 5 5 20 20"),
    ]
    assert message.dropped == 1 and not result.error
    assert log.lines == ["1 of 3 detections dropped: 1 outside the 64x48 image"]


def test_no_detections_need_no_pass() -> None:
    captioner = FakeCaptioner()
    result = caption_frame(captioner, Frame(image(5), detections(5, [])), "", 9, Log().monitor)
    assert not captioner.prompts
    assert (len(result.message.regions), result.message.dropped) == (0, 0)


@pytest.mark.parametrize(("prompt", "passed"), [("", None), ("What is it?", "What is it?")])
def test_an_empty_prompt_is_the_checkpoints_own(prompt: str, passed: str | None) -> None:
    captioner = FakeCaptioner()
    caption_frame(captioner, Frame(image(5), detections(5)), prompt, 9, Log().monitor)
    assert captioner.prompts == [passed]


def test_an_unreadable_image_drops_all_its_regions() -> None:
    log, sent = Log(), image(5)
    sent.encoding = "yuv9"
    result = caption_frame(FakeCaptioner(), Frame(sent, detections(5)), "", 9, log.monitor)
    assert (result.message.dropped, result.pixels) == (1, None)
    assert result.message.header == header(5)
    assert len(log.lines) == 1 and "'yuv9'" in log.lines[0]


def test_a_failing_backend_drops_all_regions_and_is_named() -> None:
    log, captioner = Log(), FakeCaptioner()
    captioner.error = BackendError("out of memory")
    result = caption_frame(captioner, Frame(image(5), detections(5)), "", 9, log.monitor)
    assert (result.message.dropped, list(result.message.regions)) == (1, [])
    assert log.lines == ["captioning failed: BackendError: out of memory"]


def test_ten_thousand_detections_are_one_line_in_the_log() -> None:
    log = Log()
    items = [detection(0, 0, 9, 9, str(n), score=n / 10_000) for n in range(10_000)]
    result = caption_frame(
        FakeCaptioner(), Frame(image(5), detections(5, items)), "", 24, log.monitor
    )
    assert (len(result.message.regions), result.message.dropped) == (24, 9976)
    assert result.message.regions[0].id == "9976"
    assert log.lines == ["9976 of 10000 detections dropped: 9976 above the limit of 24 regions"]


def test_latency_is_the_time_since_the_stamp() -> None:
    elapsed = latency(stamp(1_900_000_000), 3_000_000_000)
    assert (elapsed.sec, elapsed.nanosec) == (1, 100_000_000)


def test_latency_of_an_unset_stamp_is_zero() -> None:
    elapsed = latency(stamp(0), 3_000_000_000)
    assert (elapsed.sec, elapsed.nanosec) == (0, 0)


def test_latency_of_an_absurd_stamp_still_fits_its_field() -> None:
    assert latency(stamp(-(2**31) * 10**9), 2**31 * 10**9).sec == 2**31 - 1
    assert latency(stamp((2**31 - 1) * 10**9), -(2**31) * 10**9).sec == -(2**31 - 1)
