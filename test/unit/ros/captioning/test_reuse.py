"""When a caption is used again, and what is captioned next."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.captioner import Box, Caption
from perceptiondlm_ros.ros.captioning.reuse import Plan, Reuse, TrackedFrame
from perceptiondlm_ros.ros.captioning.tracks import CELLS, Measurement
from perceptiondlm_ros.ros.settings import ReuseSettings

SECOND = 1_000_000_000
DEFAULTS = ReuseSettings()


def at(x: float, y: float, name: str, brightness: float = 1.0) -> Measurement:
    appearance = np.full((CELLS, CELLS, 3), brightness, np.float32)
    box: Box = (x - 5, y - 5, x + 5, y + 5)
    return Measurement(name, "cup", box, appearance)


class Stream:
    """Frames a second apart or less, captioned where wanted if `captions` says so."""

    def __init__(self, settings: ReuseSettings = DEFAULTS) -> None:
        self.reuse = Reuse()
        self.settings = settings
        self.seconds = 100.0

    def see(self, *measurements: Measurement, after: float = 0.1) -> TrackedFrame:
        self.seconds += after
        return self.reuse.track(round(self.seconds * SECOND), measurements, self.settings)

    def caption(
        self, frame: TrackedFrame, plan: Plan | None = None, **sure: float
    ) -> tuple[str, ...]:
        """Caption what is wanted of a frame, with confidences by name; who was captioned."""
        wanted = (plan or self.reuse.plan(frame)).wanted
        names = tuple(frame.names[place] for place in wanted)
        captions = [Caption(f"a {name}", sure.get(name, 1), [], False) for name in names]
        self.reuse.keep(frame, zip(wanted, captions, strict=True))
        return names

    def plan(self, *measurements: Measurement, after: float = 0.1) -> Plan:
        """Of the next frame, which is then captioned."""
        frame = self.see(*measurements, after=after)
        plan = self.reuse.plan(frame)
        self.caption(frame, plan)
        return plan


def test_a_caption_is_used_until_it_is_too_old_and_renewed_before() -> None:
    stream = Stream()
    assert stream.plan(at(10, 10, "a")).wanted == (0,)
    ages = []
    for _ in range(200):
        frame = stream.see(at(10, 10, "a"))
        plan = stream.reuse.plan(frame)
        assert plan.kept, "an object that stays has a caption all the time"
        ages.append((frame.stamp_ns - plan.kept[0].stamp_ns) / SECOND)
        if plan.wanted:
            stream.caption(frame, plan)
    assert 6.9 < max(ages) < 7.3


def test_a_caption_beyond_its_age_is_not_used_even_if_no_new_one_comes() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    while stream.seconds < 109.95:
        assert stream.reuse.plan(stream.see(at(10, 10, "a"))).kept
    plan = stream.reuse.plan(stream.see(at(10, 10, "a"), after=0.3))
    assert not plan.kept and plan.wanted == (0,)


def test_new_ones_come_first_then_changed_ones_then_the_oldest() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "oldest"), at(10, 60, "changed"))
    stream.plan(at(10, 10, "oldest"), at(10, 60, "changed"), at(80, 10, "old"), after=1.0)
    for _ in range(4):
        stream.see(at(10, 10, "oldest"), at(10, 60, "changed"), at(80, 10, "old"), after=1.8)
    frame = stream.see(
        at(80, 10, "old"), at(10, 10, "oldest"), at(10, 60, "changed", 2.0), at(300, 300, "new")
    )
    plan = stream.reuse.plan(frame)
    assert [frame.names[place] for place in plan.wanted] == ["new", "changed", "oldest", "old"]
    assert [frame.names[place] for place in plan.kept] == ["old", "oldest"]
    stream.settings = replace(DEFAULTS, budget=3)
    few = stream.reuse.plan(replace(frame, settings=stream.settings))
    assert few.wanted == plan.wanted[:3] and few.waiting == 1


def test_looks_that_change_slowly_are_a_change_at_last() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    wanted = [bool(stream.plan(at(10, 10, "a", 1 + 0.02 * step)).wanted) for step in range(1, 18)]
    assert [n for n, is_wanted in enumerate(wanted, 1) if is_wanted] == [4, 8, 12, 16]


def test_an_object_that_goes_round_its_neighbour_is_captioned_anew() -> None:
    stream = Stream()

    def around(angle: float) -> tuple[Measurement, Measurement]:
        return at(100, 100, "middle"), at(
            100 + 40 * math.cos(angle), 100 + 40 * math.sin(angle), "moon"
        )

    stream.plan(*around(0))
    angles = [step / 50 for step in range(1, 315)]
    turns = [angle for angle in angles if stream.plan(*around(angle)).wanted]
    assert 20 <= len(turns) <= 25, "about every quarter of a radian"
    stream.settings = replace(DEFAULTS, max_turn=3.2, max_age=1000.0)
    stream.plan(*around(0), after=10.0)
    assert not any(stream.plan(*around(angle)).wanted for angle in angles)


def test_another_nearest_neighbour_is_a_change_for_those_that_it_is_new_to() -> None:
    stream = Stream()
    stay = (at(0, 100, "a"), at(40, 100, "b"), at(300, 100, "c"))
    stream.plan(*stay, at(340, 100, "d"))
    plan = stream.plan(*stay, at(340, 100, "d"), at(100, 100, "e"))
    assert plan.wanted == (4,)
    plan = stream.plan(*stay, at(340, 100, "d"), at(70, 100, "e"))
    assert sorted(plan.wanted) == [1, 4]


def test_an_object_that_disappears_is_no_change_for_its_neighbour_at_first() -> None:
    stream = Stream()
    stream.plan(at(0, 0, "a"), at(40, 0, "b"))
    assert not stream.plan(at(0, 0, "a"), after=1.0).wanted
    assert stream.plan(at(0, 0, "a"), after=1.5).wanted == (0,)


@pytest.mark.parametrize(
    "settings", [replace(DEFAULTS, enabled=False), replace(DEFAULTS, max_age=0.0)]
)
def test_nothing_is_used_where_reuse_is_off(settings: ReuseSettings) -> None:
    stream = Stream(settings)
    for _ in range(3):
        plan = stream.plan(at(10, 10, "a"), at(30, 10, "b"))
        assert plan.wanted == (0, 1) and not plan.kept


def test_the_budget_does_not_hold_without_reuse() -> None:
    stream = Stream(replace(DEFAULTS, enabled=False, budget=1))
    plan = stream.plan(at(10, 10, "a"), at(30, 10, "b"))
    assert plan.wanted == (0, 1) and plan.waiting == 0


def test_a_caption_of_a_frame_before_a_break_is_not_kept() -> None:
    stream = Stream()
    frame = stream.see(at(10, 10, "a"))
    changed = stream.see(at(10, 10, "a", 3.0))
    stream.caption(frame)
    assert not stream.reuse.plan(changed).kept
    assert not stream.reuse.plan(stream.see(at(10, 10, "a", 3.0))).kept


def test_a_caption_that_comes_late_does_not_replace_a_newer_one() -> None:
    stream = Stream()
    early = stream.see(at(10, 10, "a"))
    plan = stream.reuse.plan(early)
    late = stream.see(at(10, 10, "a"))
    stream.caption(late)
    stream.caption(early, plan)
    held = stream.reuse.plan(stream.see(at(10, 10, "a"))).kept
    assert held[0].stamp_ns == late.stamp_ns


@pytest.mark.parametrize("end", [Reuse.lose_captions, Reuse.clear])
def test_captions_of_before_an_end_are_gone_also_those_on_the_way(end: object) -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    frame = stream.see(at(10, 10, "a"), at(50, 10, "b"))
    plan = stream.reuse.plan(frame)
    end(stream.reuse)  # type: ignore[operator]
    stream.caption(frame, plan)
    assert not stream.reuse.plan(stream.see(at(10, 10, "a"), at(50, 10, "b"))).kept


def test_an_uncertain_caption_is_made_again_soon_but_not_for_ever_and_the_best_one_stays() -> None:
    stream = Stream(replace(DEFAULTS, max_age=1000.0))
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    sure = {str(n): 0.9 for n in range(9)}
    assert len(stream.caption(stream.see(*crowd), **sure | {"4": 0.5})) == 9
    tries = iter([0.7, 0.6])
    asked = []
    for _ in range(50):
        frame = stream.see(*crowd)
        if stream.reuse.plan(frame).wanted:
            asked.append(round(stream.seconds - 100.1, 1))
            assert stream.caption(frame, **{"4": next(tries)}) == ("4",)
    assert asked == [0.3, 0.9]
    held = stream.reuse.plan(stream.see(*crowd)).kept[4]
    assert held.caption.confidence == 0.7
    assert held.stamp_ns == round(100.4 * SECOND), "its age is that of the better one"


def test_a_slow_model_is_not_asked_twice_before_four_times_its_time() -> None:
    stream = Stream(replace(DEFAULTS, max_age=1000.0))
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    first = stream.see(*crowd)
    began = stream.seconds
    for _ in range(10):
        stream.see(*crowd)
    stream.caption(first, **{str(n): 0.9 for n in range(9)} | {"4": 0.5})
    while not stream.reuse.plan(stream.see(*crowd)).wanted:
        assert stream.seconds < began + 10
    assert stream.seconds - began == pytest.approx(4.0, abs=0.11)


def test_captions_that_are_all_alike_are_not_made_again() -> None:
    stream = Stream()
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    assert len(stream.caption(stream.see(*crowd), **{str(n): 0.4 for n in range(9)})) == 9
    assert not any(stream.reuse.plan(stream.see(*crowd)).wanted for _ in range(60))


def test_an_old_caption_is_replaced_also_by_one_of_less_confidence() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    frame = stream.see(at(10, 10, "a"), after=1.9)
    for _ in range(4):
        frame = stream.see(at(10, 10, "a"), after=1.9)
    assert stream.caption(frame, a=0.1) == ("a",)
    assert stream.reuse.plan(stream.see(at(10, 10, "a"))).kept[0].caption.confidence == 0.1


def test_objects_that_come_and_go_leave_nothing_behind() -> None:
    stream = Stream()
    tracks = []
    for number in range(200):
        here, before = at(10, 10, str(number)), at(50, 10, str(number - 1))
        frame = stream.see(here, before, after=0.5)
        stream.caption(frame)
        tracks.append(weakref.ref(frame.associations[0].track))
        del frame
    gc.collect()
    assert sum(track() is not None for track in tracks) < 20


sights = st.builds(
    lambda x, y, name, label, brightness: replace(at(x, y, name, brightness), label=label),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["", "1", "2", "3"]),
    st.sampled_from(["cup", "bowl"]),
    st.floats(0.5, 1.5),
)


@given(
    st.lists(st.tuples(st.lists(sights, max_size=6), st.floats(0, 4)), max_size=12),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_whatever_comes_a_caption_is_of_the_same_class_and_young_and_nothing_is_forgotten(
    frames: list[tuple[list[Measurement], float]], budget: int, delay: int
) -> None:
    stream = Stream(replace(DEFAULTS, budget=budget))
    passes: list[tuple[TrackedFrame, tuple[int, ...]]] = []
    for measurements, after in frames:
        frame = stream.see(*measurements, after=after)
        plan = stream.reuse.plan(frame)
        assert len(plan.wanted) <= budget and len(set(plan.wanted)) == len(plan.wanted)
        for place, held in plan.kept.items():
            assert held.caption.text == measurements[place].label
            assert 0 <= frame.stamp_ns - held.stamp_ns <= 10 * SECOND
        without = set(range(len(measurements))) - set(plan.kept)
        assert len(without - set(plan.wanted)) <= plan.waiting
        passes.append((frame, plan.wanted))
        if len(passes) > delay:
            made, wanted = passes.pop(0)
            labels = [made.associations[place].measurement.label for place in wanted]
            captions = [Caption(label, 0.5, [], False) for label in labels]
            stream.reuse.keep(made, zip(wanted, captions, strict=True))
