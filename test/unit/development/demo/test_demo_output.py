"""The lines that people read, and which captions count as right."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from perceptiondlm_ros.development.demo.demo_output import (
    ALL_WELL,
    NO_CAPTIONS,
    TOO_FEW_RIGHT,
    DemoOutput,
    Verdict,
    judge,
)
from perceptiondlm_ros.development.scenes.vocabulary import (
    RELATIONS,
    WORDS,
    Attributes,
    compose_caption,
)
from perceptiondlm_ros.msg import RegionDescription

RIGHT = Verdict("9", "a small red star, alone", "a small red star, alone", True)
WRONG = Verdict("10", "a red dot", "a large blue heart, alone", False)
TRUTH = {"1": ("a red circle", "a round thing"), "2": ("a blue star",)}


def output(width: int = 200, terminal: bool = False) -> tuple[DemoOutput, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, highlight=False)
    return DemoOutput(console), out


def shown(
    verdicts: tuple[Verdict, ...] = (RIGHT, WRONG), width: int = 200, terminal: bool = False
) -> list[str]:
    demo, out = output(width, terminal)
    demo.frame(12.34, verdicts, dropped=1, age=0.4321)
    return out.getvalue().split("\n")[:-1]


def test_caption_and_truth_stand_in_aligned_columns() -> None:
    head, *rows = shown()
    assert "12.3 s" in head and "1 of 2 right" in head and "1 dropped" in head and "0.43" in head
    assert [row.split()[0] for row in rows] == ["✓", "✗"]
    for row, verdict in zip(rows, (RIGHT, WRONG), strict=True):
        assert row.index(verdict.caption) == rows[0].index(RIGHT.caption)
        assert row.rindex(verdict.truth) == rows[0].rindex(RIGHT.truth)


def test_two_of_the_longest_captions_fit_side_by_side() -> None:
    *longest, relation = (max(texts, key=len) for texts in (*WORDS, RELATIONS))
    caption = compose_caption(Attributes(*longest), relation, Attributes(*longest))
    verdict = Verdict("100", caption, caption, True)
    row = shown((verdict,), width=170)[1]
    assert row.count(f"  {caption}") == 2
    assert len(row) <= 170


def test_nothing_is_wider_than_a_narrow_terminal_and_the_truth_is_still_there() -> None:
    lines = shown(width=45)[1:]
    assert all(len(line) <= 45 for line in lines)
    assert [line.strip() for line in lines] == [
        "✓  9  a small red star, alone",
        "✗ 10  a red dot",
        "a large blue heart, alone",
    ]
    assert lines[2].index("a large") == lines[1].index("a red")


@given(st.text())
def test_whatever_a_model_says_stays_one_line_that_no_terminal_obeys(caption: str) -> None:
    verdict = Verdict("1", caption, "a small red star, alone", False)
    lines = shown((verdict,))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_waited_for_is_shown_until_the_next_line(terminal: bool) -> None:
    demo, out = output(80, terminal)
    demo.wait_for("loading")
    demo.line("[loaded]")
    demo.wait_for("captions")
    demo.stop_waiting()
    said = out.getvalue()
    if terminal:
        assert "loading" in said and said.index("loading") < said.index("[loaded]")
        assert "\x1b[2K" in said, "the waiting line is taken away"
    else:
        assert said == "loading …\n[loaded]\ncaptions …\n"


def test_output_that_has_no_check_mark_gets_another_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(data, encoding="latin-1"))
    DemoOutput().line("✓ right")
    assert data.getvalue() == b"? right\n"


def test_summary_names_rate_age_and_what_was_dropped() -> None:
    demo, out = output()
    for age in (0.1, 0.3, 9.0):
        demo.frame(1.0, (RIGHT,), dropped=2, age=age)
    demo.summary(2.0)
    text = out.getvalue().splitlines()[-1]
    assert "3 frames in 2.0 s (1.5 a second)" in text and "0.30 s" in text and "6 " in text


@pytest.mark.parametrize(
    ("name", "caption", "truth"),
    [
        ("1", "a round thing", "a round thing"),
        ("1", "", "a red circle"),
        ("1", "a red circle ", "a red circle"),
        ("1", "A red circle", "a red circle"),
        ("1", "a blue star", "a red circle"),
        ("7", "", "(no such object)"),
    ],
)
def test_a_caption_is_right_only_if_it_is_one_of_its_own_object(
    name: str, caption: str, truth: str
) -> None:
    verdicts = judge([RegionDescription(id=name, caption=caption)], TRUTH)
    assert verdicts == [Verdict(name, caption, truth, caption == truth)]


@pytest.mark.parametrize(
    ("right", "wrong", "status"),
    [(0, 0, NO_CAPTIONS), (4, 1, ALL_WELL), (79, 21, TOO_FEW_RIGHT), (0, 3, TOO_FEW_RIGHT)],
)
def test_status_and_sums_over_frames(right: int, wrong: int, status: int) -> None:
    demo, _ = output()
    demo.frame(1.0, (RIGHT,) * right, 0, 0.5)
    demo.frame(1.0, (WRONG,) * wrong, 1, 0.25)
    assert demo.status == status and status not in (1, 2), "those of Python and of bad options"
    assert (demo.right, demo.captions) == (right, right + wrong)
