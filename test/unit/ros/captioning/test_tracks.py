"""Which detections are taken for the same object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.captioner import Box, Caption
from perceptiondlm_ros.ros.captioning.appearance import CELLS
from perceptiondlm_ros.ros.captioning.tracks import Held, Look, Sighting, Tracks

SECOND = 1_000_000_000
TICK = SECOND // 10


def sighting(box: Box, name: str = "", label: str = "cup", brightness: float = 1.0) -> Sighting:
    return Sighting(name, label, box, np.full((CELLS, CELLS, 3), brightness, np.float32))


class Stream:
    """Sees frame after frame, and gives every new track a caption to lose."""

    def __init__(self) -> None:
        self.tracks = Tracks()
        self.now = SECOND

    def see(self, *sightings: Sighting, after: int = TICK) -> list[Look]:
        self.now += after
        looks = self.tracks.see(self.now, sightings, tolerance=0.15, forget_ns=2 * SECOND)
        for look in looks:
            if not look.track.captioned:
                look.track.captioned = True
                caption = Caption(f"caption of {look.track.name}", 1.0, [], False)
                look.track.held = Held(caption, self.now, look.sighting.looks, None)
        return looks


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_an_id_stays_with_its_track(stream: Stream) -> None:
    (first,) = stream.see(sighting((0, 0, 10, 10), "7"))
    for step in range(1, 50):
        (look,) = stream.see(sighting((step, 0, 10 + step, 10), "7"))
        assert look.track is first.track and look.track.name == "7"
    assert first.track.held is not None


def test_another_class_under_the_same_id_is_another_object(stream: Stream) -> None:
    (cup,) = stream.see(sighting((0, 0, 10, 10), "7", "cup"))
    (bowl,) = stream.see(sighting((0, 0, 10, 10), "7", "bowl"))
    assert bowl.track is not cup.track
    (again,) = stream.see(sighting((0, 0, 10, 10), "7", "cup"))
    assert again.track is cup.track, "a class that flickers does not lose its caption"
    assert again.track.held is not None


def test_an_id_that_jumps_loses_its_caption(stream: Stream) -> None:
    (first,) = stream.see(sighting((0, 0, 10, 10), "7"))
    stream.see(sighting((60, 0, 70, 10), "7"))
    assert first.track.held is None and first.track.breaks == 1


def test_ids_that_are_swapped_lose_their_captions(stream: Stream) -> None:
    a, b = sighting((0, 0, 10, 10), "1"), sighting((50, 0, 60, 10), "2")
    looks = stream.see(a, b)
    stream.see(sighting(b.box, "1"), sighting(a.box, "2"))
    assert [look.track.held for look in looks] == [None, None]


def test_an_id_swapped_where_two_objects_meet_loses_its_caption_by_its_looks(
    stream: Stream,
) -> None:
    looks = stream.see(sighting((0, 0, 10, 10), "1", brightness=0.8), sighting((4, 0, 14, 10), "2"))
    stream.see(sighting((4, 0, 14, 10), "1"), sighting((0, 0, 10, 10), "2", brightness=0.8))
    assert [look.track.held for look in looks] == [None, None]


def test_looks_that_change_at_once_lose_the_caption_and_slow_ones_do_not(stream: Stream) -> None:
    (look,) = stream.see(sighting((0, 0, 10, 10), "7"))
    for step in range(1, 6):
        stream.see(sighting((0, 0, 10, 10), "7", brightness=1 + 0.05 * step))
    assert look.track.held is not None
    stream.see(sighting((0, 0, 10, 10), "7", brightness=1.4))
    assert look.track.held is None


def test_a_size_that_jumps_loses_the_caption(stream: Stream) -> None:
    (look,) = stream.see(sighting((0, 0, 10, 10), "7"))
    stream.see(sighting((-20, -20, 30, 30), "7"))
    assert look.track.held is None


def test_an_id_that_comes_back_after_a_gap_is_another_object(stream: Stream) -> None:
    (look,) = stream.see(sighting((0, 0, 10, 10), "7"))
    stream.see(after=SECOND)
    (short,) = stream.see(sighting((0, 0, 10, 10), "7"), after=SECOND // 2)
    assert short.track is look.track
    stream.see(after=SECOND)
    (late,) = stream.see(sighting((0, 0, 10, 10), "7"), after=2 * SECOND)
    assert late.track is not look.track


def test_without_ids_boxes_that_overlap_are_one_object(stream: Stream) -> None:
    near, far = stream.see(sighting((0, 0, 20, 20)), sighting((100, 0, 120, 20)))
    assert {near.track.name, far.track.name} == {"~1", "~2"}
    for step in range(1, 20):
        there, here = stream.see(
            sighting((100 - step, 0, 120 - step, 20)), sighting((step, 0, 20 + step, 20))
        )
        assert here.track is near.track and there.track is far.track
    (another,) = stream.see(sighting((19, 0, 39, 20), label="bowl"))
    assert another.track.name == "~3"


def test_of_two_that_overlap_the_one_that_overlaps_more_is_taken(stream: Stream) -> None:
    first, second = stream.see(sighting((0, 0, 20, 20)), sighting((8, 0, 28, 20)))
    moved, other = stream.see(sighting((7, 0, 27, 20)), sighting((1, 0, 21, 20)))
    assert (moved.track, other.track) == (second.track, first.track)


def test_an_id_that_several_detections_bear_tells_nothing(stream: Stream) -> None:
    first, second = stream.see(sighting((0, 0, 20, 20), "0"), sighting((50, 0, 70, 20), "0"))
    assert first.track is not second.track
    again, also = stream.see(sighting((50, 0, 70, 20), "0"), sighting((0, 0, 20, 20), "0"))
    assert (again.track, also.track) == (second.track, first.track)


def test_the_nearest_object_is_the_neighbour_also_while_it_is_unseen(stream: Stream) -> None:
    a, b, c = (sighting((x, 0, x + 10, 10), name) for x, name in ((0, "a"), (30, "b"), (90, "c")))
    looks = stream.see(a, b, c)
    neighbours = [look.neighbour.track.name for look in looks if look.neighbour]
    assert neighbours == ["b", "a", "b"]
    (alone,) = stream.see(c)
    assert alone.neighbour is not None and alone.neighbour.track is looks[1].track
    (alone,) = stream.see(c, after=3 * SECOND)
    assert alone.neighbour is None


boxes = st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(0.01, 300)] * 2).map(
    lambda given: (given[0], given[1], given[0] + given[2], given[1] + given[3])
)
frames = st.lists(
    st.lists(
        st.builds(
            sighting,
            boxes,
            st.sampled_from(["", "1", "2", "3"]),
            st.sampled_from(["cup", "bowl"]),
            st.floats(0, 50),
        ),
        max_size=6,
    ),
    max_size=8,
)


@given(frames, st.lists(st.integers(0, 5 * SECOND), min_size=8, max_size=8))
def test_whatever_comes_each_detection_has_one_track_and_no_track_two(
    frames: list[list[Sighting]], steps: list[int]
) -> None:
    stream = Stream()
    for sightings, step in zip(frames, steps, strict=False):
        looks = stream.see(*sightings, after=step)
        assert [look.sighting for look in looks] == sightings
        assert len({look.track for look in looks}) == len(sightings)
        for look in looks:
            assert look.track.seen is look.sighting
            assert look.neighbour is None or look.neighbour.track is not look.track
            assert look.track in look.others
