"""What becomes of frames, without topics: which are captioned, what is published of them, when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from captioning_support import (
    BOWL,
    CUP,
    FRESH,
    REUSED,
    SECOND,
    SPOON,
    TICK,
    Harness,
    sources,
    waiting,
)
from ros_support import detection, detections, header, image, image_of

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.ros.captioning import prepared_frame
from perceptiondlm_ros.ros.inputs.frames import Frame


def test_captions_come_in_the_detections_order_under_the_images_header(harness: Harness) -> None:
    items = [
        detection(0, 0, 9, 9, "b"),
        detection(-9, 0, -1, 9, "gone"),
        detection(5, 5, 20, 20, "a"),
    ]
    message = harness.finish(5, items).message
    assert message.header == header(5) and message.model == "fake"
    assert [(r.index, r.id, r.caption) for r in message.regions] == [
        (0, "b", "box 0 0 9 9"),
        (2, "a", "box 5 5 20 20"),
    ]
    assert message.dropped == 1
    assert harness.lines == ["1 of 3 detections dropped: 1 outside the 64x48 image"]
    assert harness.counters.drop_reasons == {"outside the 64x48 image": 1}


def test_filters_and_the_detectors_size_apply_to_the_next_frame(harness: Harness) -> None:
    harness.values |= {
        "detections.min_score": 0.3,
        "detections.image_width": 128,
        "detections.image_height": 96,
    }
    items = [
        detection(16, 16, 48, 48, "track 1", "cup", 0.5),
        detection(16, 16, 48, 48, "3", "cup", 0.2),
    ]
    message = harness.finish(SECOND, items).message
    (region,) = message.regions
    assert (region.id, region.index, region.caption) == ("track 1", 0, "box 8 8 24 24")
    assert (region.bbox.size_x, region.bbox.center.position.x) == (16, 16)
    assert message.dropped == 1 and not harness.lines, "the user wants it so"
    assert dict(harness.counters.drop_reasons) == {"with a score below 0.3": 1}


def test_an_image_of_the_lowest_bits_is_counted_until_the_parameter_is_set(
    harness: Harness,
) -> None:
    def dark(stamp: int) -> int:
        """The first pixel that the model sees."""
        sent = image_of(np.full((48, 64), 4000, np.uint16), "mono16", stamp)
        ended = harness.ended
        harness.captioning.mailbox.put(Frame(sent, detections(stamp)))
        harness.until(lambda: harness.ended > ended, "the frame")
        return harness.captioner.first_pixels[-1]

    harness.values["reuse.enabled"] = False
    assert dark(SECOND) == round(4000 / 257)
    assert (harness.counters.images_of_low_bits, harness.counters.low_bits) == (1, 12)
    harness.values["image.significant_bits"] = 12
    assert dark(2 * SECOND) == round(4000 * 255 / 4095)
    assert harness.counters.images_of_low_bits == 1


def test_no_detections_need_no_pass(harness: Harness) -> None:
    result = harness.finish(SECOND, [])
    assert not harness.captioner.prompts
    assert (len(result.message.regions), result.message.dropped) == (0, 0)


def test_an_unreadable_image_drops_all_its_regions(harness: Harness) -> None:
    sent = image(5)
    sent.encoding = "yuv9"
    harness.captioning.mailbox.put(Frame(sent, detections(5)))
    harness.until(lambda: harness.ended == 1, "a result")
    (result,) = harness.outputs.results
    assert (result.message.dropped, result.pixels) == (1, None)
    assert result.message.header == header(5) and "yuv9" in result.error
    assert len(harness.lines) == 1 and "yuv9" in harness.lines[0]
    assert (harness.counters.frames_failed, harness.counters.regions_dropped) == (1, 1)


def test_a_failing_backend_drops_all_regions_and_is_named(harness: Harness) -> None:
    harness.captioner.error = BackendError("out of memory")
    result = harness.finish(SECOND)
    assert (result.message.dropped, list(result.message.regions)) == (1, [])
    assert harness.lines == ["captioning failed: BackendError: out of memory"]
    assert harness.status.snapshot().failures == 1
    assert (harness.counters.frames_failed, harness.counters.regions_dropped) == (1, 1)
    harness.captioner.error = None
    assert sources(harness.finish(SECOND + TICK)) == [("1", FRESH)]


def test_what_was_known_stays_when_a_pass_fails(harness: Harness) -> None:
    harness.finish(SECOND, [CUP, SPOON])
    harness.captioner.error = BackendError("out of memory")
    result = harness.finish(SECOND + TICK, [CUP, SPOON, BOWL])
    assert sources(result) == [("1", REUSED), ("3", REUSED)] and result.message.dropped == 1
    assert harness.counters.frames_failed == 1


def test_a_known_region_is_published_with_every_frame_and_the_age_of_its_caption(
    harness: Harness,
) -> None:
    first = harness.finish(SECOND).message.regions[0]
    assert (first.source, first.caption_stamp) == (FRESH, header(SECOND).stamp)
    for n in range(1, 30):
        moved = detection(8 + n / 4, 8, 24 + n / 4, 24, "1", "cup", score=n / 30)
        region = harness.finish(SECOND + n * TICK, [moved]).message.regions[0]
        assert (region.source, region.caption) == (REUSED, first.caption)
        assert region.caption_stamp == header(SECOND).stamp
        assert region.bbox == moved.bbox and region.score == pytest.approx(n / 30)
    assert len(harness.captioner.prompts) == 1
    assert len(harness.outputs.results) == 30
    assert (harness.counters.regions_captioned, harness.counters.regions_reused) == (1, 29)
    assert (harness.counters.frames_captioned, harness.counters.frames_reused) == (1, 29)


def test_what_is_known_does_not_wait_for_a_pass_that_runs(harness: Harness) -> None:
    harness.finish(SECOND, [CUP, SPOON])
    harness.hold(SECOND + TICK, [CUP, SPOON, BOWL])
    for n in range(2, 6):
        harness.prepare(SECOND + n * TICK, [CUP, SPOON])
    stamps = [result.message.header.stamp.nanosec // TICK for result in harness.outputs.results]
    assert stamps == [0, 1, 2, 3, 4, 5]
    harness.captioner.gate.set()
    harness.until(lambda: harness.counters.frames_captioned == 2, "the pass to end")
    assert len(harness.outputs.results) == 6, "a frame older than the last is not published"
    after = harness.finish(SECOND + 6 * TICK, [CUP, SPOON, BOWL])
    assert sources(after) == [("1", REUSED), ("3", REUSED), ("2", REUSED)], (
        "but its captions are kept"
    )
    assert after.message.regions[2].caption_stamp == header(SECOND + TICK).stamp
    assert len(harness.captioner.prompts) == 2


def test_the_last_frame_is_completed_also_when_no_other_one_follows(harness: Harness) -> None:
    harness.finish(SECOND, [CUP, SPOON])
    result = harness.finish(SECOND + TICK, [CUP, SPOON, BOWL])
    known, complete = harness.outputs.results[1:]
    assert sources(known) == [("1", REUSED), ("3", REUSED)] and known.message.dropped == 1
    assert complete is result and sources(complete) == [("1", REUSED), ("3", REUSED), ("2", FRESH)]
    (without,) = waiting(known)
    region = without.region
    assert (region.detection.id, region.label, region.index) == ("2", "bowl", 2)
    assert region.box == (30, 8, 44, 24) and not waiting(complete)
    assert known.message.header == complete.message.header
    assert complete.message.dropped == 0
    assert [item.track for item in complete.regions] == ["1", "3", "2"]


def test_a_frame_that_nothing_is_known_of_waits_for_its_pass(harness: Harness) -> None:
    harness.hold(SECOND, [CUP])
    assert not harness.outputs.results
    harness.prepare(SECOND + TICK, [BOWL])
    harness.prepare(SECOND + 2 * TICK, [BOWL])
    assert not harness.outputs.results
    harness.captioner.gate.set()
    harness.until(lambda: harness.counters.frames_captioned == 2, "both passes")
    stamps = [result.message.header.stamp.nanosec // TICK for result in harness.outputs.results]
    assert stamps == [0, 2]
    assert harness.counters.frames_skipped == 1


def test_more_regions_than_the_budget_follow_in_the_next_passes(harness: Harness) -> None:
    harness.values["reuse.budget"] = 2
    items = [detection(10 * n, 8, 10 * n + 8, 20, str(n)) for n in range(5)]
    result = harness.finish(SECOND, items)
    harness.until(lambda: len(harness.outputs.results) == 3, "three passes")
    assert [len(r.message.regions) for r in harness.outputs.results] == [2, 4, 5]
    assert [r.message.dropped for r in harness.outputs.results] == [3, 1, 0]
    assert {source for _, source in sources(result)} == {FRESH}
    assert harness.counters.frames_captioned == 1 and harness.counters.regions_captioned == 5


def reused_at_last(harness: Harness) -> int:
    """Captions of earlier frames in the last message about each frame."""
    last = {result.sequence: result for result in harness.outputs.results}
    return sum(source == REUSED for result in last.values() for _, source in sources(result))


@pytest.mark.parametrize("draft_steps", [0, 4])
def test_a_frame_that_is_published_several_times_counts_its_reused_captions_once(
    harness: Harness, draft_steps: int
) -> None:
    harness.values |= {"draft_steps": draft_steps, "reuse.budget": 2, "reuse.max_turn": 3.2}
    new = [detection(10 * n, 30, 10 * n + 8, 40, f"new {n}") for n in range(3, 6)]
    harness.finish(SECOND, [CUP, SPOON])
    assert harness.counters.regions_reused == 0
    harness.finish(SECOND + TICK, [CUP, SPOON, *new])
    of_the_frame = [result for result in harness.outputs.results if result.sequence == 2]
    assert len(of_the_frame) > 2, "what is known, and two passes, each with its drafts"
    assert harness.counters.regions_reused == reused_at_last(harness) == 2
    assert harness.counters.regions_captioned == 5


def test_reused_captions_are_counted_also_where_a_newer_frame_took_the_pass(
    harness: Harness,
) -> None:
    harness.values["reuse.max_turn"] = 3.2
    harness.finish(SECOND, [CUP])
    harness.hold(SECOND + TICK, [CUP, SPOON])
    for n in range(2, 5):
        harness.prepare(SECOND + n * TICK, [CUP, SPOON, BOWL])
    harness.captioner.gate.set()
    harness.until(lambda: harness.ended == 5, "the end of all frames")
    assert harness.counters.regions_reused == reused_at_last(harness)


def test_a_frame_that_is_not_published_reuses_nothing(harness: Harness) -> None:
    harness.finish(SECOND, [CUP])
    harness.hold(SECOND + TICK, [BOWL])
    harness.outputs.activation = 2
    harness.captioner.gate.set()
    harness.until(lambda: harness.counters.frames_discarded == 1, "the end of the frame")
    assert harness.counters.regions_reused == 0


def test_another_prompt_captions_everything_anew(harness: Harness) -> None:
    harness.finish(SECOND)
    harness.values["prompt"] = "What is it?"
    assert sources(harness.finish(SECOND + TICK)) == [("1", FRESH)]
    assert harness.captioner.prompts == [None, "What is it?"]


def test_a_caption_of_the_old_prompt_is_not_kept(harness: Harness) -> None:
    harness.hold(SECOND)
    harness.values["prompt"] = "What is it?"
    harness.prepare(SECOND + TICK)
    harness.captioner.gate.set()
    harness.until(lambda: harness.counters.frames_captioned == 2, "both passes")
    assert harness.captioner.prompts == [None, "What is it?"]
    assert [s for r in harness.outputs.results for s in sources(r)] == [("1", FRESH)] * 2


def test_without_a_stamp_no_age_is_known_and_nothing_is_used_again(harness: Harness) -> None:
    for _ in range(2):
        assert sources(harness.finish(0)) == [("1", FRESH)]


def test_a_straggler_is_counted_and_not_published(harness: Harness) -> None:
    harness.finish(SECOND)
    harness.finish(SECOND - TICK)
    assert len(harness.outputs.results) == 1 and harness.counters.frames_late == 1
    harness.finish(SECOND + TICK)
    assert len(harness.outputs.results) == 2


@pytest.mark.parametrize("back", [TICK, 5 * SECOND])
def test_a_clock_that_is_set_back_begins_anew(harness: Harness, back: int) -> None:
    start = 100 * SECOND
    harness.finish(start)
    assert sources(harness.finish(start + TICK)) == [("1", REUSED)]
    for n in range(4):
        last = harness.finish(start - back + n * TICK // 100)
        if last.message.header.stamp.sec * SECOND + last.message.header.stamp.nanosec < start:
            break
    assert sources(last) == [("1", FRESH)], "nothing of before the jump is used again"
    assert harness.outputs.cleared and harness.outputs.cleared[0] == last.sequence
    assert harness.counters.frames_late == (0 if back > SECOND else 2)


def test_a_pass_of_before_a_jump_is_not_published_after_it(harness: Harness) -> None:
    harness.hold(100 * SECOND)
    harness.prepare(5 * SECOND)
    harness.captioner.gate.set()
    harness.until(lambda: harness.counters.frames_captioned == 2, "both passes")
    assert [result.message.header.stamp.sec for result in harness.outputs.results] == [5]
    assert sources(harness.outputs.results[0]) == [("1", FRESH)]


def test_a_clock_that_is_set_back_ends_what_waits_before_the_image_is_decoded(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.hold(100 * SECOND)
    harness.prepare(100 * SECOND + TICK)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(prepared_frame, "decode_image", fail)
    harness.put(5 * SECOND)
    harness.until(lambda: harness.counters.frames_skipped == 1, "the waiting frame to go")
    harness.until(lambda: bool(harness.outputs.cleared), "the outputs to be cleared")
    harness.captioner.gate.set()


def test_another_activation_begins_anew(harness: Harness) -> None:
    harness.finish(SECOND)
    harness.outputs.activation = 2
    assert sources(harness.finish(SECOND + TICK)) == [("1", FRESH)]


def test_a_waiting_frame_is_withdrawn_once(harness: Harness) -> None:
    harness.hold(SECOND)
    harness.prepare(SECOND + TICK)
    harness.captioning.withdraw_frame()
    harness.captioning.withdraw_frame()
    assert harness.counters.withdrawn == 1
    harness.captioner.gate.set()


def test_a_retry_that_is_less_sure_changes_nothing(harness: Harness) -> None:
    harness.values["reuse.max_turn"] = 3.2
    items = [detection(7 * n, 8, 7 * n + 6, 20, str(n)) for n in range(9)]
    sure = iter([*[0.9] * 8, 0.5, 0.4])
    describe = harness.captioner.describe

    def doubtful(*args: Any, **options: Any) -> Any:
        return [replace(caption, confidence=next(sure)) for caption in describe(*args, **options)]

    harness.captioner.describe = doubtful
    harness.finish(SECOND, items)
    result = harness.finish(SECOND + 4 * TICK, items)
    assert len(harness.captioner.prompts) == 2, "the last one was asked about again"
    assert {source for _, source in sources(result)} == {REUSED}
    assert result.message.regions[8].confidence == pytest.approx(0.5)
