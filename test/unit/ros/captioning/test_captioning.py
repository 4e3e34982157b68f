"""What becomes of frames, without topics: which are captioned, what is published of them, when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from log_support import Log
from patience import PATIENCE
from ros_support import (
    FakeCaptioner,
    detection,
    detections,
    header,
    image,
    settings,
    until_true,
)
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.captioning.captioning import Captioning
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.inputs import Frame
from perceptiondlm_ros.ros.outputs.results import Result

FRESH, REUSED = RegionDescription.FRESH, RegionDescription.REUSED
DRAFT = RegionDescription.DRAFT
SECOND = 1_000_000_000
TICK = SECOND // 10


class FakeOutputs:
    """Takes results as Outputs does."""

    def __init__(self) -> None:
        self.activation = 1
        self.results: list[Result] = []
        self.cleared: list[int] = []
        self._last = 0

    def publish(self, result: Result) -> bool:
        if result.activation != self.activation or result.sequence < self._last:
            return False
        self._last = result.sequence
        self.results.append(result)
        return True

    def clear(self, sequence: int = 0) -> None:
        self.cleared.append(sequence)
        self._last = max(self._last, sequence)


class Studio:
    """Captioning with everything around it faked."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}  # of parameters
        self.captioner = FakeCaptioner()
        self.outputs: Any = FakeOutputs()
        log = Log()
        monitor = Monitor(log)
        self.counters, self.status, self.lines = monitor.counters, monitor.status, log.warnings
        self.captioning = Captioning(
            self.captioner, self.outputs, monitor, lambda: settings(self.values)
        )

    def put(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        self.captioning.mailbox.put(
            Frame(image(stamp, **options), detections(stamp, items), self.outputs.activation)
        )

    def finish(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> Result:
        """Put a frame and wait until nothing more will become of it; the last result."""
        before = self.ended
        self.put(stamp, items, **options)
        self.until(lambda: self.ended > before, f"the end of frame {stamp}")
        return self.outputs.results[-1]

    def hold(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        """Put a frame whose pass goes on until the gate is opened."""
        self.captioner.started.clear()
        self.captioner.gate.clear()
        self.put(stamp, items, **options)
        self.until(self.captioner.started.is_set, "a pass")

    def prepare(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        """Put a frame and wait until it is prepared, while a pass runs."""
        queue = self.captioning.queue
        before, ended = queue._item, self.ended
        self.put(stamp, items, **options)
        self.until(
            lambda: queue._item is not before or self.ended > ended, "the frame to be prepared"
        )

    @property
    def ended(self) -> int:
        c = self.counters
        ended = c.frames_captioned + c.frames_reused + c.frames_failed + c.frames_discarded
        return ended + c.frames_late

    @staticmethod
    def until(happened: Callable[[], bool], what: str) -> None:
        until_true(happened, what)


@pytest.fixture
def studio() -> Iterator[Studio]:
    studio = Studio()
    yield studio
    studio.captioner.gate.set()
    assert studio.captioning.stop(20)
    assert studio.captioner.closed.is_set()


def sources(result: Result) -> list[tuple[str, int]]:
    return [(region.id, region.source) for region in result.message.regions]


CUP = detection(8, 8, 24, 24, "1", "cup")
SPOON = detection(8, 26, 24, 40, "3", "spoon")  # nearer to the cup than the bowl is
BOWL = detection(30, 8, 44, 24, "2", "bowl")


def test_captions_come_in_the_detections_order_under_the_images_header(studio: Studio) -> None:
    items = [
        detection(0, 0, 9, 9, "b"),
        detection(-9, 0, -1, 9, "gone"),
        detection(5, 5, 20, 20, "a"),
    ]
    message = studio.finish(5, items).message
    assert message.header == header(5) and message.model == "fake"
    assert [(r.index, r.id, r.caption) for r in message.regions] == [
        (0, "b", "box 0 0 9 9"),
        (2, "a", "box 5 5 20 20"),
    ]
    assert message.dropped == 1
    assert studio.lines == ["1 of 3 detections dropped: 1 outside the 64x48 image"]
    assert studio.counters.drop_reasons == {"outside the 64x48 image": 1}


def test_no_detections_need_no_pass(studio: Studio) -> None:
    result = studio.finish(SECOND, [])
    assert not studio.captioner.prompts
    assert (len(result.message.regions), result.message.dropped) == (0, 0)


@pytest.mark.parametrize(("prompt", "passed"), [("", None), ("What is it?", "What is it?")])
def test_an_empty_prompt_is_the_checkpoints_own(
    studio: Studio, prompt: str, passed: str | None
) -> None:
    studio.values["prompt"] = prompt
    studio.finish(SECOND)
    assert studio.captioner.prompts == [passed]


def test_an_unreadable_image_drops_all_its_regions(studio: Studio) -> None:
    sent = image(5)
    sent.encoding = "yuv9"
    studio.captioning.mailbox.put(Frame(sent, detections(5)))
    studio.until(lambda: studio.ended == 1, "a result")
    (result,) = studio.outputs.results
    assert (result.message.dropped, result.pixels) == (1, None)
    assert result.message.header == header(5) and "yuv9" in result.error
    assert len(studio.lines) == 1 and "yuv9" in studio.lines[0]
    assert (studio.counters.frames_failed, studio.counters.regions_dropped) == (1, 1)


def test_a_failing_backend_drops_all_regions_and_is_named(studio: Studio) -> None:
    studio.captioner.error = BackendError("out of memory")
    result = studio.finish(SECOND)
    assert (result.message.dropped, list(result.message.regions)) == (1, [])
    assert studio.lines == ["captioning failed: BackendError: out of memory"]
    assert studio.status.snapshot().failures == 1
    assert (studio.counters.frames_failed, studio.counters.regions_dropped) == (1, 1)
    studio.captioner.error = None
    assert sources(studio.finish(SECOND + TICK)) == [("1", FRESH)]


def test_what_was_known_stays_when_a_pass_fails(studio: Studio) -> None:
    studio.finish(SECOND, [CUP, SPOON])
    studio.captioner.error = BackendError("out of memory")
    result = studio.finish(SECOND + TICK, [CUP, SPOON, BOWL])
    assert sources(result) == [("1", REUSED), ("3", REUSED)] and result.message.dropped == 1
    assert studio.counters.frames_failed == 1


def test_ten_thousand_detections_are_one_line_in_the_log(studio: Studio) -> None:
    studio.values["reuse.enabled"] = False
    items = [detection(0, 0, 9, 9, str(n), score=n / 10_000) for n in range(10_000)]
    message = studio.finish(5, items).message
    assert (len(message.regions), message.dropped) == (24, 9976)
    assert message.regions[0].id == "9976"
    assert studio.lines == ["9976 of 10000 detections dropped: 9976 above the limit of 24 regions"]


def test_a_known_region_is_published_with_every_frame_and_the_age_of_its_caption(
    studio: Studio,
) -> None:
    first = studio.finish(SECOND).message.regions[0]
    assert (first.source, first.caption_stamp) == (FRESH, header(SECOND).stamp)
    for n in range(1, 30):
        moved = detection(8 + n / 4, 8, 24 + n / 4, 24, "1", "cup", score=n / 30)
        region = studio.finish(SECOND + n * TICK, [moved]).message.regions[0]
        assert (region.source, region.caption) == (REUSED, first.caption)
        assert region.caption_stamp == header(SECOND).stamp
        assert region.bbox == moved.bbox and region.score == pytest.approx(n / 30)
    assert len(studio.captioner.prompts) == 1
    assert len(studio.outputs.results) == 30
    assert (studio.counters.regions_captioned, studio.counters.regions_reused) == (1, 29)
    assert (studio.counters.frames_captioned, studio.counters.frames_reused) == (1, 29)


def test_what_is_known_does_not_wait_for_a_pass_that_runs(studio: Studio) -> None:
    studio.finish(SECOND, [CUP, SPOON])
    studio.hold(SECOND + TICK, [CUP, SPOON, BOWL])
    for n in range(2, 6):
        studio.prepare(SECOND + n * TICK, [CUP, SPOON])
    stamps = [result.message.header.stamp.nanosec // TICK for result in studio.outputs.results]
    assert stamps == [0, 1, 2, 3, 4, 5]
    studio.captioner.gate.set()
    studio.until(lambda: studio.counters.frames_captioned == 2, "the pass to end")
    assert len(studio.outputs.results) == 6, "a frame older than the last is not published"
    after = studio.finish(SECOND + 6 * TICK, [CUP, SPOON, BOWL])
    assert sources(after) == [("1", REUSED), ("3", REUSED), ("2", REUSED)], (
        "but its captions are kept"
    )
    assert after.message.regions[2].caption_stamp == header(SECOND + TICK).stamp
    assert len(studio.captioner.prompts) == 2


def test_the_last_frame_is_completed_also_when_no_other_one_follows(studio: Studio) -> None:
    studio.finish(SECOND, [CUP, SPOON])
    result = studio.finish(SECOND + TICK, [CUP, SPOON, BOWL])
    known, complete = studio.outputs.results[1:]
    assert sources(known) == [("1", REUSED), ("3", REUSED)] and known.message.dropped == 1
    assert complete is result and sources(complete) == [("1", REUSED), ("3", REUSED), ("2", FRESH)]
    assert known.message.header == complete.message.header
    assert complete.message.dropped == 0
    assert complete.tracks == ("1", "3", "2")


def test_a_frame_that_nothing_is_known_of_waits_for_its_pass(studio: Studio) -> None:
    studio.hold(SECOND, [CUP])
    assert not studio.outputs.results
    studio.prepare(SECOND + TICK, [BOWL])
    studio.prepare(SECOND + 2 * TICK, [BOWL])
    assert not studio.outputs.results
    studio.captioner.gate.set()
    studio.until(lambda: studio.counters.frames_captioned == 2, "both passes")
    stamps = [result.message.header.stamp.nanosec // TICK for result in studio.outputs.results]
    assert stamps == [0, 2]
    assert studio.counters.frames_skipped == 1


def test_more_regions_than_the_budget_follow_in_the_next_passes(studio: Studio) -> None:
    studio.values["reuse.budget"] = 2
    items = [detection(10 * n, 8, 10 * n + 8, 20, str(n)) for n in range(5)]
    result = studio.finish(SECOND, items)
    studio.until(lambda: len(studio.outputs.results) == 3, "three passes")
    assert [len(r.message.regions) for r in studio.outputs.results] == [2, 4, 5]
    assert [r.message.dropped for r in studio.outputs.results] == [3, 1, 0]
    assert {source for _, source in sources(result)} == {FRESH}
    assert studio.counters.frames_captioned == 1 and studio.counters.regions_captioned == 5


def reused_at_last(studio: Studio) -> int:
    """Captions of earlier frames in the last message about each frame."""
    last = {result.sequence: result for result in studio.outputs.results}
    return sum(source == REUSED for result in last.values() for _, source in sources(result))


@pytest.mark.parametrize("draft_steps", [0, 4])
def test_a_frame_that_is_published_several_times_counts_its_reused_captions_once(
    studio: Studio, draft_steps: int
) -> None:
    studio.values |= {"draft_steps": draft_steps, "reuse.budget": 2, "reuse.max_turn": 3.2}
    new = [detection(10 * n, 30, 10 * n + 8, 40, f"new {n}") for n in range(3, 6)]
    studio.finish(SECOND, [CUP, SPOON])
    assert studio.counters.regions_reused == 0
    studio.finish(SECOND + TICK, [CUP, SPOON, *new])
    of_the_frame = [result for result in studio.outputs.results if result.sequence == 2]
    assert len(of_the_frame) > 2, "what is known, and two passes, each with its drafts"
    assert studio.counters.regions_reused == reused_at_last(studio) == 2
    assert studio.counters.regions_captioned == 5


def test_reused_captions_are_counted_also_where_a_newer_frame_took_the_pass(
    studio: Studio,
) -> None:
    studio.values["reuse.max_turn"] = 3.2
    studio.finish(SECOND, [CUP])
    studio.hold(SECOND + TICK, [CUP, SPOON])
    for n in range(2, 5):
        studio.prepare(SECOND + n * TICK, [CUP, SPOON, BOWL])
    studio.captioner.gate.set()
    studio.until(lambda: studio.ended == 5, "the end of all frames")
    assert studio.counters.regions_reused == reused_at_last(studio)


def test_a_frame_that_is_not_published_reuses_nothing(studio: Studio) -> None:
    studio.finish(SECOND, [CUP])
    studio.captioner.started.clear()
    studio.captioner.gate.clear()
    studio.values["reuse.retries"] = 0
    studio.put(SECOND + TICK, [BOWL])
    studio.until(studio.captioner.started.is_set, "a pass")
    studio.outputs.activation = 2
    studio.captioner.gate.set()
    studio.until(lambda: studio.counters.frames_discarded == 1, "the end of the frame")
    assert studio.counters.regions_reused == 0


def test_another_prompt_captions_everything_anew(studio: Studio) -> None:
    studio.finish(SECOND)
    studio.values["prompt"] = "What is it?"
    assert sources(studio.finish(SECOND + TICK)) == [("1", FRESH)]
    assert studio.captioner.prompts == [None, "What is it?"]


def test_a_caption_of_the_old_prompt_is_not_kept(studio: Studio) -> None:
    studio.hold(SECOND)
    studio.values["prompt"] = "What is it?"
    studio.prepare(SECOND + TICK)
    studio.captioner.gate.set()
    studio.until(lambda: studio.counters.frames_captioned == 2, "both passes")
    assert studio.captioner.prompts == [None, "What is it?"]
    assert [s for r in studio.outputs.results for s in sources(r)] == [("1", FRESH)] * 2


def test_without_reuse_every_region_of_a_frame_is_captioned(studio: Studio) -> None:
    studio.values["reuse.enabled"] = False
    for n in range(3):
        assert sources(studio.finish(SECOND + n * TICK, [CUP, BOWL])) == [
            ("1", FRESH),
            ("2", FRESH),
        ]
    assert len(studio.captioner.prompts) == 3


def test_without_a_stamp_no_age_is_known_and_nothing_is_used_again(studio: Studio) -> None:
    for _ in range(2):
        assert sources(studio.finish(0)) == [("1", FRESH)]


def test_a_straggler_is_counted_and_not_published(studio: Studio) -> None:
    studio.finish(SECOND)
    studio.finish(SECOND - TICK)
    assert len(studio.outputs.results) == 1 and studio.counters.frames_late == 1
    studio.finish(SECOND + TICK)
    assert len(studio.outputs.results) == 2


@pytest.mark.parametrize("back", [TICK, 5 * SECOND])
def test_a_clock_that_is_set_back_begins_anew(studio: Studio, back: int) -> None:
    start = 100 * SECOND
    studio.finish(start)
    assert sources(studio.finish(start + TICK)) == [("1", REUSED)]
    for n in range(4):
        last = studio.finish(start - back + n * TICK // 100)
        if last.message.header.stamp.sec * SECOND + last.message.header.stamp.nanosec < start:
            break
    assert sources(last) == [("1", FRESH)], "nothing of before the jump is used again"
    assert studio.outputs.cleared and studio.outputs.cleared[0] == last.sequence
    assert studio.counters.frames_late == (0 if back > SECOND else 2)


def test_a_pass_of_before_a_jump_is_not_published_after_it(studio: Studio) -> None:
    studio.hold(100 * SECOND)
    studio.prepare(5 * SECOND)
    studio.captioner.gate.set()
    studio.until(lambda: studio.counters.frames_captioned == 2, "both passes")
    assert [result.message.header.stamp.sec for result in studio.outputs.results] == [5]
    assert sources(studio.outputs.results[0]) == [("1", FRESH)]


def test_another_activation_begins_anew(studio: Studio) -> None:
    studio.finish(SECOND)
    studio.outputs.activation = 2
    assert sources(studio.finish(SECOND + TICK)) == [("1", FRESH)]


def test_a_waiting_frame_is_withdrawn_once(studio: Studio) -> None:
    studio.hold(SECOND)
    studio.prepare(SECOND + TICK)
    studio.captioning.withdraw_frame()
    studio.captioning.withdraw_frame()
    assert studio.counters.withdrawn == 1
    studio.captioner.gate.set()


@pytest.mark.parametrize("reuse", [True, False])
def test_a_draft_comes_first_and_then_the_final_caption(studio: Studio, reuse: bool) -> None:
    studio.values |= {"draft_steps": 4, "reuse.enabled": reuse}
    studio.hold(SECOND, [CUP])
    (draft,) = studio.outputs.results
    assert sources(draft) == [("1", DRAFT)]
    assert draft.message.regions[0].caption == "draft box 8 8 24 24"
    assert draft.message.regions[0].caption_stamp == header(SECOND).stamp
    assert len(studio.status.snapshot().draft_times) == 1
    studio.captioner.gate.set()
    studio.until(lambda: studio.ended == 1, "the final captions")
    final = studio.outputs.results[1]
    assert sources(final) == [("1", FRESH)] and final.message.header == draft.message.header
    assert final.message.regions[0].caption == "box 8 8 24 24"
    assert studio.counters.regions_captioned == 1


def test_frames_that_come_meanwhile_have_the_draft_until_the_final_caption_is_there(
    studio: Studio,
) -> None:
    studio.values["draft_steps"] = 4
    studio.hold(SECOND, [CUP])
    studio.prepare(SECOND + TICK, [CUP])
    meanwhile = studio.outputs.results[1]
    assert sources(meanwhile) == [("1", DRAFT)]
    assert meanwhile.message.regions[0].caption_stamp == header(SECOND).stamp
    studio.captioner.gate.set()
    studio.until(lambda: studio.ended == 2, "both frames")
    assert sources(studio.outputs.results[-1]) == [("1", REUSED)]
    assert studio.outputs.results[-1].message.regions[0].caption == "box 8 8 24 24"
    assert len(studio.captioner.prompts) == 1


def test_a_draft_takes_no_place_of_a_caption_that_holds(studio: Studio) -> None:
    studio.finish(SECOND, [CUP, SPOON])
    studio.values["draft_steps"] = 4
    studio.hold(SECOND + TICK, [CUP, SPOON, BOWL])
    known, drafted = studio.outputs.results[1:]
    assert sources(known) == [("1", REUSED), ("3", REUSED)]
    assert [waiting.id for waiting in known.waiting] == ["2"]
    assert sources(drafted) == [("1", REUSED), ("3", REUSED), ("2", DRAFT)]
    assert not drafted.waiting


def test_a_draft_whose_pass_fails_is_captioned_again(studio: Studio) -> None:
    studio.values["draft_steps"] = 4
    studio.captioner.error = BackendError("out of memory")
    studio.finish(SECOND, [CUP])
    studio.captioner.error = None
    result = studio.finish(SECOND + TICK, [CUP])
    assert sources(result) == [("1", FRESH)]


def test_a_retry_that_is_less_sure_changes_nothing(studio: Studio) -> None:
    studio.values["reuse.max_turn"] = 3.2
    items = [detection(7 * n, 8, 7 * n + 6, 20, str(n)) for n in range(9)]
    sure = iter([*[0.9] * 8, 0.5, 0.4])
    describe = studio.captioner.describe

    def doubtful(*args: Any, **options: Any) -> Any:
        return [replace(caption, confidence=next(sure)) for caption in describe(*args, **options)]

    studio.captioner.describe = doubtful
    studio.finish(SECOND, items)
    result = studio.finish(SECOND + 4 * TICK, items)
    assert len(studio.captioner.prompts) == 2, "the last one was asked about again"
    assert {source for _, source in sources(result)} == {REUSED}
    assert result.message.regions[8].confidence == pytest.approx(0.5)


class Asked:
    """A request that tells when it was served."""

    def __init__(self, order: list[str], name: str) -> None:
        self.order, self.name = order, name
        self.refused = ""
        self.done = threading.Event()

    def serve(self, captioner: Any) -> bool:
        self.order.append(self.name)
        self.done.set()
        return True

    def refuse(self, reason: str) -> None:
        self.refused = reason
        self.done.set()


def test_requests_and_frames_take_turns(studio: Studio) -> None:
    order: list[str] = []
    describe = studio.captioner.describe

    def watched(*args: Any, **options: Any) -> Any:
        captions = describe(*args, **options)
        order.append("frame")
        return captions

    studio.captioner.describe = watched  # type: ignore[method-assign]
    studio.hold(SECOND, [CUP])
    asked = [Asked(order, f"request {n}") for n in range(3)]
    assert all(studio.captioning.queue.ask(request) for request in asked)
    studio.prepare(SECOND + TICK, [BOWL])
    studio.captioner.gate.set()
    assert all(request.done.wait(PATIENCE) for request in asked)
    assert order == ["frame", "request 0", "frame", "request 1", "request 2"]


def test_requests_beyond_the_queue_are_turned_away_and_the_others_refused_at_the_end(
    studio: Studio,
) -> None:
    order: list[str] = []
    studio.hold(SECOND)
    asked = [Asked(order, str(n)) for n in range(20)]
    taken = [request for request in asked if studio.captioning.queue.ask(request)]
    assert 0 < len(taken) < 20
    assert not studio.captioning.stop(0.01)
    assert all("unloaded" in request.refused for request in taken)
    assert not any(request.refused for request in asked if request not in taken)


def test_what_has_no_caption_is_told_apart_for_who_draws_it(studio: Studio) -> None:
    studio.finish(SECOND, [CUP, SPOON])
    studio.hold(SECOND + TICK, [CUP, SPOON, BOWL])
    early = studio.outputs.results[-1]
    assert [region.id for region in early.message.regions] == ["1", "3"]
    (waiting,) = early.waiting
    assert (waiting.id, waiting.label, waiting.index) == ("2", "bowl", 2)
    assert waiting.box == (30, 8, 44, 24) and waiting.track == "2"
    studio.captioner.gate.set()
    studio.until(lambda: len(studio.outputs.results[-1].message.regions) == 3, "all captions")
    assert not studio.outputs.results[-1].waiting
