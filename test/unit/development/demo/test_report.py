"""The lines that people read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.demo.report import Report
from perceptiondlm_ros.development.demo.scoring import FrameVerdict, Tally, Verdict
from perceptiondlm_ros.development.scenes.vocabulary import (
    COLOURS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
    Attributes,
    compose_caption,
)

RIGHT = Verdict("9", "a small red star, alone", "a small red star, alone", True)
WRONG = Verdict("10", "a red dot", "a large blue heart, alone", False)
FRAME = FrameVerdict((RIGHT, WRONG), dropped=1, age=0.4321)


def test_caption_and_truth_stand_in_aligned_columns() -> None:
    head, *rows = Report().block(12.34, FRAME)
    assert "12.3 s" in head and "1 of 2 right" in head and "1 dropped" in head and "0.43" in head
    assert [row.split()[0] for row in rows] == ["✓", "✗"]
    for row, verdict in zip(rows, FRAME.verdicts, strict=True):
        assert row.index(verdict.caption) == rows[0].index(RIGHT.caption)
        assert row.rindex(verdict.truth) == rows[0].rindex(RIGHT.truth)


def test_two_of_the_longest_captions_fit_side_by_side() -> None:
    words = ([*SIZES], PATTERNS, [*COLOURS], SHAPES, RELATIONS)
    *longest, relation = (max(texts, key=len) for texts in words)
    caption = compose_caption(Attributes(*longest), relation, Attributes(*longest))
    verdict = Verdict("100", caption, caption, True)
    row = Report(width=170).block(1, FrameVerdict((verdict,), 0, 0.1))[1]
    assert row.count(f"  {caption}") == 2
    assert len(row) <= 170


def test_nothing_is_wider_than_a_narrow_terminal_and_the_truth_is_still_there() -> None:
    lines = Report(width=45).block(1, FRAME)[1:]
    assert all(len(line) <= 45 for line in lines)
    assert [line.strip() for line in lines] == [
        "✓  9  a small red star, alone",
        "✗ 10  a red dot",
        "a large blue heart, alone",
    ]
    assert lines[2].index("a large") == lines[1].index("a red")


@pytest.mark.parametrize("width", [None, 45])
def test_colours_change_nothing_but_colours(width: int | None) -> None:
    coloured = Report(colours=True, width=width).block(1, FRAME)
    plain = Report(width=width).block(1, FRAME)
    assert coloured != plain
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain


@given(st.text())
def test_whatever_a_model_says_stays_one_line_that_no_terminal_obeys(caption: str) -> None:
    verdict = Verdict("1", caption, "a small red star, alone", False)
    lines = Report().block(1, FrameVerdict((verdict,), dropped=0, age=0.1))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_frame_without_captions_has_only_its_head() -> None:
    assert len(Report().block(1, FrameVerdict((), dropped=3, age=0.1))) == 1


def test_summary_names_rate_age_and_what_was_dropped() -> None:
    tally = Tally()
    for age in (0.1, 0.3, 9.0):
        tally.add(FrameVerdict((RIGHT,), dropped=2, age=age))
    text = Report().summary(tally, 2.0)
    assert "3 frames in 2.0 s (1.5 a second)" in text and "0.30 s" in text and "6 " in text
    assert Report().summary(Tally(), 0.0)
