"""Parts of a stamp come in any order; what is forgotten is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.demo.joiner import Joiner

KINDS = ("image", "detections", "descriptions")


@given(st.permutations([(kind, stamp) for kind in KINDS for stamp in range(5)]))
def test_every_stamp_is_completed_once_in_any_order(parts: list[tuple[str, int]]) -> None:
    joiner = Joiner(KINDS, "descriptions", kept=5)
    complete = [joiner.add(kind, stamp, (kind, stamp)) for kind, stamp in parts]
    found = [frame for frame in complete if frame]
    assert sorted(frame["image"][1] for frame in found) == list(range(5))
    assert all(frame == {kind: (kind, frame["image"][1]) for kind in KINDS} for frame in found)
    joiner.close()
    assert joiner.lost == 0


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20)), max_size=60, unique=True))
def test_what_is_wanted_is_either_completed_or_counted(parts: list[tuple[str, int]]) -> None:
    joiner = Joiner(KINDS, "descriptions", kept=3)
    completed = sum(joiner.add(kind, stamp, "") is not None for kind, stamp in parts)
    joiner.close()
    assert completed + joiner.lost == sum(kind == "descriptions" for kind, _ in parts)


def test_images_without_captions_are_forgotten_without_a_count() -> None:
    joiner = Joiner(KINDS, "descriptions", kept=2)
    for stamp in range(10):
        assert joiner.add("image", stamp, "") is None
    joiner.add("detections", 0, "")
    assert joiner.add("descriptions", 0, "") is None, "the image of stamp 0 is long gone"
    joiner.close()
    assert joiner.lost == 1
