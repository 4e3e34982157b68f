"""Numbers of markers over time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.drawing.annotation import Annotation, object_keys
from perceptiondlm_ros.ros.outputs.markers import MarkerIds


def test_an_object_keeps_its_number_and_its_end_is_told() -> None:
    ids = MarkerIds()
    (a, b), gone = ids.update(["a", "b"])
    assert a != b and not gone
    assert ids.update(["b", "c"]) == ([b, 2], [a])
    assert ids.update([]) == ([], [b, 2])


def test_objects_of_one_name_are_told_apart() -> None:
    same = [Annotation((0, 0, 9, 9), "", track="7", label="cup")] * 2
    other = Annotation((0, 0, 9, 9), "", track="7", label="bowl")
    untracked = Annotation((0, 0, 9, 9), "", index=3)
    assert object_keys([*same, other, untracked]) == [
        *(("7", "cup", 1), ("7", "cup", 2)),
        *(("7", "bowl", 1), ("3", "", 1)),
    ]


@given(st.lists(st.lists(st.integers(0, 5), max_size=6, unique=True), max_size=8))
def test_what_a_viewer_shows_is_what_is_there(frames: list[list[int]]) -> None:
    ids, shown = MarkerIds(), {}
    for keys in frames:
        numbers, gone = ids.update(keys)
        assert len(set(numbers)) == len(keys) and not set(numbers) & set(gone)
        for number in gone:
            del shown[number]
        shown.update(zip(numbers, keys, strict=True))
        assert sorted(shown.values()) == sorted(keys)
