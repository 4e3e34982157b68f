"""The world is settled by stamps, so that two processes agree on the truth."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.development.demo.world import SCENE_NS, SCENES, World
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS
from perceptiondlm_ros.development.scenes.vocabulary import parse_caption
from perceptiondlm_ros.errors import InputError

START = 1_700_000_000_000_000_000


@settings(max_examples=20)
@given(after=st.integers(0, 20 * SCENE_NS), objects=st.integers(1, 6))
def test_same_stamp_same_scene(after: int, objects: int) -> None:
    first, second = World(3, objects, START), World(3, objects, START)
    assert first.at(START + after) == second.at(START + after)
    truth = first.truth(START + after)
    assert len(truth) == objects
    assert all(parse_caption(text) for texts in truth.values() for text in texts)


def test_objects_keep_their_ids_while_they_move_and_never_share_them_across_cuts() -> None:
    world = World(0, 4, START)
    seen = [
        {item.track_id: item for item in world.at(START + stamp).objects}
        for stamp in (0, SCENE_NS - 1, SCENE_NS, 2 * SCENE_NS)
    ]
    assert [sorted(scene) for scene in seen] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
    ]
    for track in seen[0]:
        assert seen[0][track].attributes == seen[1][track].attributes
        assert seen[0][track].centre != seen[1][track].centre


def test_cut_goes_to_the_next_scene_and_from_the_last_to_the_first() -> None:
    last = World(len(EVALUATION_SEEDS) - 1, 2, START).at(START + SCENE_NS)
    first = World(0, 2, START).at(START)
    assert [item.attributes for item in last.objects] == [item.attributes for item in first.objects]


def test_the_same_scenes_come_again_with_new_ids() -> None:
    world = World(5, 3, START)
    looks = [
        [(item.attributes, item.centre) for item in world.at(START + number * SCENE_NS).objects]
        for number in range(2 * SCENES)
    ]
    assert looks[:SCENES] == looks[SCENES:]
    assert all(looks[0] != other for other in looks[1:SCENES])
    assert set(world.truth(START)).isdisjoint(world.truth(START + SCENES * SCENE_NS))


@pytest.mark.parametrize(
    ("seed", "objects", "after"), [(0, 4, -1), (2**20, 4, 0), (-1, 4, 0), (0, 13, 0)]
)
def test_impossible_world_is_refused(seed: int, objects: int, after: int) -> None:
    with pytest.raises(InputError):
        World(seed, objects, START).at(START + after)
