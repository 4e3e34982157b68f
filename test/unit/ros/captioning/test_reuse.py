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
from perceptiondlm_ros.ros.captioning.appearance import CELLS
from perceptiondlm_ros.ros.captioning.reuse import Limits, Plan, Reuse, Scene
from perceptiondlm_ros.ros.captioning.tracks import Sighting

SECOND = 1_000_000_000
LIMITS = Limits(
    enabled=True, max_age=10.0, max_gap=2.0, max_change=0.15, max_turn=0.5, retries=2, budget=12
)


def at(x: float, y: float, name: str, brightness: float = 1.0) -> Sighting:
    looks = np.full((CELLS, CELLS, 3), brightness, np.float32)
    box: Box = (x - 5, y - 5, x + 5, y + 5)
    return Sighting(name, "cup", box, looks)


class Stream:
    """Frames a second apart or less, captioned where wanted if `captions` says so."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.reuse = Reuse()
        self.limits = limits
        self.seconds = 100.0

    def see(self, *sightings: Sighting, after: float = 0.1) -> Scene:
        self.seconds += after
        return self.reuse.see(round(self.seconds * SECOND), sightings, self.limits)

    def caption(self, scene: Scene, plan: Plan | None = None) -> None:
        wanted = (plan or self.reuse.plan(scene)).wanted
        stamp = scene.stamp_ns / SECOND
        self.reuse.keep(
            scene, [(n, Caption(f"{scene.names[n]} at {stamp:.1f}", 1, [], False)) for n in wanted]
        )

    def plan(self, *sightings: Sighting, after: float = 0.1) -> Plan:
        """Of the next frame, which is then captioned."""
        scene = self.see(*sightings, after=after)
        plan = self.reuse.plan(scene)
        self.caption(scene, plan)
        return plan


def test_a_caption_is_used_until_it_is_too_old_and_renewed_before() -> None:
    stream = Stream()
    assert stream.plan(at(10, 10, "a")).wanted == (0,)
    ages = []
    for _ in range(200):
        scene = stream.see(at(10, 10, "a"))
        plan = stream.reuse.plan(scene)
        assert plan.held, "an object that stays has a caption all the time"
        ages.append((scene.stamp_ns - plan.held[0].stamp_ns) / SECOND)
        if plan.wanted:
            stream.caption(scene, plan)
    assert 6.9 < max(ages) < 7.3


def test_a_caption_beyond_its_age_is_not_used_even_if_no_new_one_comes() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    while stream.seconds < 109.95:
        assert stream.reuse.plan(stream.see(at(10, 10, "a"))).held
    plan = stream.reuse.plan(stream.see(at(10, 10, "a"), after=0.3))
    assert not plan.held and plan.wanted == (0,)


def test_new_ones_come_first_then_changed_ones_then_the_oldest() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "oldest"), at(10, 60, "changed"))
    stream.plan(at(10, 10, "oldest"), at(10, 60, "changed"), at(80, 10, "old"), after=1.0)
    for _ in range(4):
        stream.see(at(10, 10, "oldest"), at(10, 60, "changed"), at(80, 10, "old"), after=1.8)
    scene = stream.see(
        at(80, 10, "old"), at(10, 10, "oldest"), at(10, 60, "changed", 2.0), at(300, 300, "new")
    )
    plan = stream.reuse.plan(scene)
    assert [scene.names[place] for place in plan.wanted] == ["new", "changed", "oldest", "old"]
    assert [scene.names[place] for place in plan.held] == ["old", "oldest"]
    stream.limits = replace(LIMITS, budget=3)
    few = stream.reuse.plan(replace(scene, limits=stream.limits))
    assert few.wanted == plan.wanted[:3] and few.waiting == 1


def test_looks_that_change_slowly_are_a_change_at_last() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    wanted = [bool(stream.plan(at(10, 10, "a", 1 + 0.02 * step)).wanted) for step in range(1, 18)]
    assert [n for n, is_wanted in enumerate(wanted, 1) if is_wanted] == [4, 8, 12, 16]


def test_an_object_that_goes_round_its_neighbour_is_captioned_anew() -> None:
    stream = Stream()

    def around(angle: float) -> tuple[Sighting, Sighting]:
        return at(100, 100, "middle"), at(
            100 + 40 * math.cos(angle), 100 + 40 * math.sin(angle), "moon"
        )

    stream.plan(*around(0))
    angles = [step / 50 for step in range(1, 315)]
    turns = [angle for angle in angles if stream.plan(*around(angle)).wanted]
    assert 20 <= len(turns) <= 25, "about every quarter of a radian"
    stream.limits = replace(LIMITS, max_turn=3.2, max_age=1000.0)
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


@pytest.mark.parametrize("limits", [replace(LIMITS, enabled=False), replace(LIMITS, max_age=0.0)])
def test_nothing_is_used_where_reuse_is_off(limits: Limits) -> None:
    stream = Stream(limits)
    for _ in range(3):
        plan = stream.plan(at(10, 10, "a"), at(30, 10, "b"))
        assert plan.wanted == (0, 1) and not plan.held


def test_the_budget_does_not_hold_without_reuse() -> None:
    stream = Stream(replace(LIMITS, enabled=False, budget=1))
    plan = stream.plan(at(10, 10, "a"), at(30, 10, "b"))
    assert plan.wanted == (0, 1) and plan.waiting == 0


def test_a_caption_of_a_frame_before_a_break_is_not_kept() -> None:
    stream = Stream()
    scene = stream.see(at(10, 10, "a"))
    changed = stream.see(at(10, 10, "a", 3.0))
    stream.caption(scene)
    assert not stream.reuse.plan(changed).held
    assert not stream.reuse.plan(stream.see(at(10, 10, "a", 3.0))).held


def test_a_caption_that_comes_late_does_not_replace_a_newer_one() -> None:
    stream = Stream()
    early = stream.see(at(10, 10, "a"))
    plan = stream.reuse.plan(early)
    late = stream.see(at(10, 10, "a"))
    stream.caption(late)
    stream.caption(early, plan)
    held = stream.reuse.plan(stream.see(at(10, 10, "a"))).held
    assert held[0].stamp_ns == late.stamp_ns


@pytest.mark.parametrize("end", [Reuse.lose_captions, Reuse.clear])
def test_captions_of_before_an_end_are_gone_also_those_on_the_way(end: object) -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    scene = stream.see(at(10, 10, "a"), at(50, 10, "b"))
    plan = stream.reuse.plan(scene)
    end(stream.reuse)  # type: ignore[operator]
    stream.caption(scene, plan)
    assert not stream.reuse.plan(stream.see(at(10, 10, "a"), at(50, 10, "b"))).held


def confident(stream: Stream, scene: Scene, values: dict[str, float]) -> tuple[str, ...]:
    """Caption what is wanted of a frame with these confidences; who was captioned."""
    wanted = stream.reuse.plan(scene).wanted
    names = tuple(scene.names[place] for place in wanted)
    stream.reuse.keep(
        scene,
        [
            (place, Caption(f"{name} {values[name]}", values[name], [], False))
            for place, name in zip(wanted, names, strict=True)
        ],
    )
    return names


def test_an_uncertain_caption_is_made_again_soon_but_not_for_ever_and_the_best_one_stays() -> None:
    stream = Stream(replace(LIMITS, max_age=1000.0))
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    sure = {str(n): 0.9 for n in range(9)}
    assert len(confident(stream, stream.see(*crowd), sure | {"4": 0.5})) == 9
    tries = iter([0.7, 0.6])
    asked = []
    for _ in range(50):
        scene = stream.see(*crowd)
        if stream.reuse.plan(scene).wanted:
            asked.append(round(stream.seconds - 100.1, 1))
            assert confident(stream, scene, {"4": next(tries)}) == ("4",)
    assert asked == [0.3, 0.9]
    held = stream.reuse.plan(stream.see(*crowd)).held[4]
    assert held.caption.confidence == 0.7
    assert held.stamp_ns == round(100.4 * SECOND), "its age is that of the better one"


def test_a_slow_model_is_not_asked_twice_before_four_times_its_time() -> None:
    stream = Stream(replace(LIMITS, max_age=1000.0))
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    first = stream.see(*crowd)
    began = stream.seconds
    for _ in range(10):
        stream.see(*crowd)
    confident(stream, first, {str(n): 0.9 for n in range(9)} | {"4": 0.5})
    while not stream.reuse.plan(stream.see(*crowd)).wanted:
        assert stream.seconds < began + 10
    assert stream.seconds - began == pytest.approx(4.0, abs=0.11)


def test_captions_that_are_all_alike_are_not_made_again() -> None:
    stream = Stream()
    crowd = [at(100 * n, 10, str(n)) for n in range(9)]
    assert len(confident(stream, stream.see(*crowd), {str(n): 0.4 for n in range(9)})) == 9
    assert not any(stream.reuse.plan(stream.see(*crowd)).wanted for _ in range(60))


def test_an_old_caption_is_replaced_also_by_one_of_less_confidence() -> None:
    stream = Stream()
    stream.plan(at(10, 10, "a"))
    scene = stream.see(at(10, 10, "a"), after=1.9)
    for _ in range(4):
        scene = stream.see(at(10, 10, "a"), after=1.9)
    assert confident(stream, scene, {"a": 0.1}) == ("a",)
    assert stream.reuse.plan(stream.see(at(10, 10, "a"))).held[0].caption.confidence == 0.1


def test_objects_that_come_and_go_leave_nothing_behind() -> None:
    stream = Stream()
    tracks = []
    for number in range(200):
        here, before = at(10, 10, str(number)), at(50, 10, str(number - 1))
        scene = stream.see(here, before, after=0.5)
        stream.caption(scene)
        tracks.append(weakref.ref(scene.looks[0].track))
        del scene
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
    frames: list[tuple[list[Sighting], float]], budget: int, delay: int
) -> None:
    stream = Stream(replace(LIMITS, budget=budget))
    passes: list[tuple[Scene, tuple[int, ...]]] = []
    for sightings, after in frames:
        scene = stream.see(*sightings, after=after)
        plan = stream.reuse.plan(scene)
        assert len(plan.wanted) <= budget and len(set(plan.wanted)) == len(plan.wanted)
        for place, held in plan.held.items():
            assert held.caption.text == sightings[place].label
            assert 0 <= scene.stamp_ns - held.stamp_ns <= 10 * SECOND
        without = set(range(len(sightings))) - set(plan.held)
        assert len(without - set(plan.wanted)) <= plan.waiting
        passes.append((scene, plan.wanted))
        if len(passes) > delay:
            made, wanted = passes.pop(0)
            labels = [made.looks[place].sighting.label for place in wanted]
            captions = [Caption(label, 0.5, [], False) for label in labels]
            stream.reuse.keep(made, zip(wanted, captions, strict=True))
