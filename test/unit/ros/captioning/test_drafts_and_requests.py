"""Drafts while a pass runs, and requests between the passes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from captioning_support import (
    BOWL,
    CUP,
    DRAFT,
    FRESH,
    REUSED,
    SECOND,
    SPOON,
    TICK,
    Harness,
    sources,
    waiting,
)
from patience import PATIENCE
from ros_support import header

from perceptiondlm_ros.errors import BackendError


@pytest.mark.parametrize("reuse", [True, False])
def test_a_draft_comes_first_and_then_the_final_caption(harness: Harness, reuse: bool) -> None:
    harness.values |= {"draft_steps": 4, "reuse.enabled": reuse}
    harness.hold(SECOND, [CUP])
    (draft,) = harness.outputs.results
    assert sources(draft) == [("1", DRAFT)]
    assert draft.message.regions[0].caption == "draft box 8 8 24 24"
    assert draft.message.regions[0].caption_stamp == header(SECOND).stamp
    assert len(harness.status.snapshot().draft_times) == 1
    harness.captioner.gate.set()
    harness.until(lambda: harness.ended == 1, "the final captions")
    final = harness.outputs.results[1]
    assert sources(final) == [("1", FRESH)] and final.message.header == draft.message.header
    assert final.message.regions[0].caption == "box 8 8 24 24"
    assert harness.counters.regions_captioned == 1


def test_frames_that_come_meanwhile_have_the_draft_until_the_final_caption_is_there(
    harness: Harness,
) -> None:
    harness.values["draft_steps"] = 4
    harness.hold(SECOND, [CUP])
    harness.prepare(SECOND + TICK, [CUP])
    meanwhile = harness.outputs.results[1]
    assert sources(meanwhile) == [("1", DRAFT)]
    assert meanwhile.message.regions[0].caption_stamp == header(SECOND).stamp
    harness.captioner.gate.set()
    harness.until(lambda: harness.ended == 2, "both frames")
    assert sources(harness.outputs.results[-1]) == [("1", REUSED)]
    assert harness.outputs.results[-1].message.regions[0].caption == "box 8 8 24 24"
    assert len(harness.captioner.prompts) == 1


def test_a_draft_takes_no_place_of_a_caption_that_holds(harness: Harness) -> None:
    harness.finish(SECOND, [CUP, SPOON])
    harness.values["draft_steps"] = 4
    harness.hold(SECOND + TICK, [CUP, SPOON, BOWL])
    known, drafted = harness.outputs.results[1:]
    assert sources(known) == [("1", REUSED), ("3", REUSED)]
    assert [item.track for item in waiting(known)] == ["2"]
    assert sources(drafted) == [("1", REUSED), ("3", REUSED), ("2", DRAFT)]
    assert not waiting(drafted)


def test_a_draft_whose_pass_fails_is_captioned_again(harness: Harness) -> None:
    harness.values["draft_steps"] = 4
    harness.captioner.error = BackendError("out of memory")
    harness.finish(SECOND, [CUP])
    harness.captioner.error = None
    result = harness.finish(SECOND + TICK, [CUP])
    assert sources(result) == [("1", FRESH)]


class Asked:
    """A request that needs some turns, and tells when it was answered."""

    def __init__(self, order: list[str], name: str, turns: int = 1) -> None:
        self.order, self.name, self.turns = order, name, turns
        self.refused = ""
        self.done = threading.Event()

    def serve(self, captioner: Any) -> bool:
        self.order.append(self.name)
        self.turns -= 1
        if not self.turns:
            self.done.set()
        return not self.turns

    def refuse(self, reason: str) -> None:
        self.refused = reason
        self.done.set()


def test_requests_and_frames_take_turns(harness: Harness) -> None:
    order: list[str] = []
    describe = harness.captioner.describe

    def watched(*args: Any, **options: Any) -> Any:
        captions = describe(*args, **options)
        order.append("frame")
        return captions

    harness.captioner.describe = watched  # type: ignore[method-assign]
    harness.hold(SECOND, [CUP])
    asked = [Asked(order, "large", turns=2), Asked(order, "small")]
    assert all(harness.captioning.queue.ask(request) for request in asked)
    harness.prepare(SECOND + TICK, [BOWL])
    harness.captioner.gate.set()
    assert all(request.done.wait(PATIENCE) for request in asked)
    assert order == ["frame", "large", "frame", "small", "large"]


def test_requests_beyond_the_queue_are_turned_away_and_the_others_refused_at_the_end(
    harness: Harness,
) -> None:
    order: list[str] = []
    harness.hold(SECOND)
    asked = [Asked(order, str(n)) for n in range(20)]
    taken = [request for request in asked if harness.captioning.queue.ask(request)]
    assert 0 < len(taken) < 20
    assert not harness.captioning.stop(0.01)
    assert all("unloaded" in request.refused for request in taken)
    assert not any(request.refused for request in asked if request not in taken)
