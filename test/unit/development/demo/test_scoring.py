"""A caption counts as right only for its own object, and most of them have to be."""

from __future__ import annotations

import pytest

from perceptiondlm_ros.development.demo.scoring import (
    ALL_WELL,
    NO_CAPTIONS,
    TOO_FEW_RIGHT,
    FrameVerdict,
    Tally,
    Verdict,
    judge,
)
from perceptiondlm_ros.msg import RegionDescription

TRUTH = {"1": ("a red circle", "a round thing"), "2": ("a blue star",)}


def region(name: str, caption: str) -> RegionDescription:
    return RegionDescription(id=name, caption=caption)


def test_every_acceptable_caption_is_right_and_shown_as_the_truth() -> None:
    assert judge([region("1", "a round thing")], TRUTH) == (
        Verdict("1", "a round thing", "a round thing", True),
    )


@pytest.mark.parametrize("caption", ["", "a red circle ", "A red circle", "a blue star"])
def test_anything_else_is_wrong_beside_the_canonical_truth(caption: str) -> None:
    assert judge([region("1", caption)], TRUTH) == (Verdict("1", caption, "a red circle", False),)


def test_caption_of_an_unknown_object_is_wrong() -> None:
    (verdict,) = judge([region("7", "")], TRUTH)
    assert not verdict.right


def tally_of(right: int, wrong: int) -> Tally:
    tally = Tally()
    verdicts = [Verdict("1", "", "", True)] * right + [Verdict("1", "", "", False)] * wrong
    tally.add(FrameVerdict(tuple(verdicts), dropped=2, age=0.5))
    return tally


@pytest.mark.parametrize(
    ("right", "wrong", "status"),
    [(0, 0, NO_CAPTIONS), (4, 1, ALL_WELL), (79, 21, TOO_FEW_RIGHT), (0, 3, TOO_FEW_RIGHT)],
)
def test_status(right: int, wrong: int, status: int) -> None:
    assert tally_of(right, wrong).status == status


def test_sums_over_frames() -> None:
    tally = tally_of(2, 1)
    tally.add(FrameVerdict((Verdict("3", "", "", True),), dropped=1, age=0.25))
    assert str(tally) == "3 of 4 captions right"
    assert (tally.frames, tally.dropped, tally.ages) == (2, 3, [0.5, 0.25])


def test_no_failure_looks_like_a_python_error_or_a_bad_option() -> None:
    assert {NO_CAPTIONS, TOO_FEW_RIGHT}.isdisjoint({0, 1, 2})
