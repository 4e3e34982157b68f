"""Which detections are taken for the same object, and when something is taken to look the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.captioner import Box, Caption
from perceptiondlm_ros.ros.captioning.tracks import (
    CELLS,
    Association,
    KeptCaption,
    Measurement,
    Tracks,
    appearance,
    brightness,
    difference,
)

SECOND = 1_000_000_000
TICK = SECOND // 10


def measurement(
    box: Box, name: str = "", label: str = "cup", brightness: float = 1.0
) -> Measurement:
    return Measurement(name, label, box, np.full((CELLS, CELLS, 3), brightness, np.float32))


class Stream:
    """Sees frame after frame, and gives every new track a caption to lose."""

    def __init__(self) -> None:
        self.tracks = Tracks()
        self.now = SECOND

    def see(self, *measurements: Measurement, after: int = TICK) -> list[Association]:
        self.now += after
        found = self.tracks.associate(self.now, measurements, tolerance=0.15, forget_ns=2 * SECOND)
        for one in found:
            if not one.track.captioned:
                one.track.captioned = True
                caption = Caption(f"caption of {one.track.name}", 1.0, [], False)
                one.track.kept = KeptCaption(caption, self.now, one.measurement.appearance, None)
        return found


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_an_id_stays_with_its_track(stream: Stream) -> None:
    (first,) = stream.see(measurement((0, 0, 10, 10), "7"))
    for step in range(1, 50):
        (one,) = stream.see(measurement((step, 0, 10 + step, 10), "7"))
        assert one.track is first.track and one.track.name == "7"
    assert first.track.kept is not None


def test_another_class_under_the_same_id_is_another_object(stream: Stream) -> None:
    (cup,) = stream.see(measurement((0, 0, 10, 10), "7", "cup"))
    (bowl,) = stream.see(measurement((0, 0, 10, 10), "7", "bowl"))
    assert bowl.track is not cup.track
    (again,) = stream.see(measurement((0, 0, 10, 10), "7", "cup"))
    assert again.track is cup.track, "a class that flickers does not lose its caption"
    assert again.track.kept is not None


@pytest.mark.parametrize("box", [(60, 0, 70, 10), (-20, -20, 30, 30)], ids=["place", "size"])
def test_an_id_that_jumps_loses_its_caption(stream: Stream, box: Box) -> None:
    (first,) = stream.see(measurement((0, 0, 10, 10), "7"))
    stream.see(measurement(box, "7"))
    assert first.track.kept is None and first.track.breaks == 1


def test_an_id_swapped_where_two_objects_meet_loses_its_caption_by_its_looks(
    stream: Stream,
) -> None:
    found = stream.see(
        measurement((0, 0, 10, 10), "1", brightness=0.8), measurement((4, 0, 14, 10), "2")
    )
    stream.see(measurement((4, 0, 14, 10), "1"), measurement((0, 0, 10, 10), "2", brightness=0.8))
    assert [one.track.kept for one in found] == [None, None]


def test_looks_that_change_at_once_lose_the_caption_and_slow_ones_do_not(stream: Stream) -> None:
    (one,) = stream.see(measurement((0, 0, 10, 10), "7"))
    for step in range(1, 6):
        stream.see(measurement((0, 0, 10, 10), "7", brightness=1 + 0.05 * step))
    assert one.track.kept is not None
    stream.see(measurement((0, 0, 10, 10), "7", brightness=1.4))
    assert one.track.kept is None


def test_an_id_that_comes_back_after_a_gap_is_another_object(stream: Stream) -> None:
    (one,) = stream.see(measurement((0, 0, 10, 10), "7"))
    stream.see(after=SECOND)
    (short,) = stream.see(measurement((0, 0, 10, 10), "7"), after=SECOND // 2)
    assert short.track is one.track
    stream.see(after=SECOND)
    (late,) = stream.see(measurement((0, 0, 10, 10), "7"), after=2 * SECOND)
    assert late.track is not one.track


def test_without_ids_boxes_that_overlap_are_one_object(stream: Stream) -> None:
    near, far = stream.see(measurement((0, 0, 20, 20)), measurement((100, 0, 120, 20)))
    assert {near.track.name, far.track.name} == {"~1", "~2"}
    for step in range(1, 20):
        there, here = stream.see(
            measurement((100 - step, 0, 120 - step, 20)), measurement((step, 0, 20 + step, 20))
        )
        assert here.track is near.track and there.track is far.track
    (another,) = stream.see(measurement((19, 0, 39, 20), label="bowl"))
    assert another.track.name == "~3"


def test_of_two_that_overlap_the_one_that_overlaps_more_is_taken(stream: Stream) -> None:
    first, second = stream.see(measurement((0, 0, 20, 20)), measurement((8, 0, 28, 20)))
    moved, other = stream.see(measurement((7, 0, 27, 20)), measurement((1, 0, 21, 20)))
    assert (moved.track, other.track) == (second.track, first.track)


def test_an_id_that_several_detections_bear_tells_nothing(stream: Stream) -> None:
    first, second = stream.see(measurement((0, 0, 20, 20), "0"), measurement((50, 0, 70, 20), "0"))
    assert first.track is not second.track
    again, also = stream.see(measurement((50, 0, 70, 20), "0"), measurement((0, 0, 20, 20), "0"))
    assert (again.track, also.track) == (second.track, first.track)


def test_the_nearest_object_is_the_neighbour_also_while_it_is_unseen(stream: Stream) -> None:
    a, b, c = (
        measurement((x, 0, x + 10, 10), name) for x, name in ((0, "a"), (30, "b"), (90, "c"))
    )
    found = stream.see(a, b, c)
    neighbours = [one.neighbour.track.name for one in found if one.neighbour]
    assert neighbours == ["b", "a", "b"]
    (alone,) = stream.see(c)
    assert alone.neighbour is not None and alone.neighbour.track is found[1].track
    (alone,) = stream.see(c, after=3 * SECOND)
    assert alone.neighbour is None


boxes = st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(0.01, 300)] * 2).map(
    lambda given: (given[0], given[1], given[0] + given[2], given[1] + given[3])
)
frames = st.lists(
    st.lists(
        st.builds(
            measurement,
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
    frames: list[list[Measurement]], steps: list[int]
) -> None:
    stream = Stream()
    for measurements, step in zip(frames, steps, strict=False):
        found = stream.see(*measurements, after=step)
        assert [one.measurement for one in found] == measurements
        assert len({one.track for one in found}) == len(measurements)
        for one in found:
            assert one.track.last is one.measurement
            assert one.neighbour is None or one.neighbour.track is not one.track
            assert one.track in one.others


# ---- appearances ----


def picture(seed: int = 0, height: int = 120, width: int = 160) -> np.ndarray:
    """Large blocks of colour with noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 200, (6, 8, 3)).repeat(20, axis=0).repeat(20, axis=1)
    noisy = blocks + rng.normal(0, 4, blocks.shape)
    return noisy[:height, :width].clip(0, 255).astype(np.uint8)


def looks(pixels: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    return appearance(pixels, box, brightness(pixels))


BOX = (20.0, 20.0, 100.0, 100.0)


def test_noise_and_a_pixel_more_or_less_change_little() -> None:
    first = looks(picture(), BOX)
    noisy = np.random.default_rng(1).normal(picture(), 6).clip(0, 255).astype(np.uint8)
    assert difference(first, looks(noisy, BOX)) < 0.02
    assert difference(first, looks(picture(), (21.0, 19.5, 101.0, 99.5))) < 0.06


def test_an_exposure_that_follows_the_light_changes_little() -> None:
    first = looks(picture(), BOX)
    darker = (picture() * 0.6).astype(np.uint8)
    assert difference(first, looks(darker, BOX)) < 0.02


def test_something_else_looks_different() -> None:
    first = looks(picture(), BOX)
    assert difference(first, looks(picture(1), BOX)) > 0.3
    changed = picture()
    changed[30:90, 30:90] = (200, 30, 30)
    assert difference(first, looks(changed, BOX)) > 0.2


def test_black_is_no_division_by_zero() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    assert difference(looks(black, (0, 0, 9, 9)), looks(black, (9, 9, 40, 40))) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 2)])
def test_any_image_will_do(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    assert looks(pixels, (0, 0, size[1], size[0])).shape == (CELLS, CELLS, 3)


@given(st.tuples(*[st.floats(-1e9, 1e9)] * 4))
def test_any_box_will_do(box: tuple[float, float, float, float]) -> None:
    assert np.isfinite(looks(picture(), box)).all()
