"""What people see of work that takes long, on a terminal and in a log; and tables."""

from __future__ import annotations

import io
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE
from rich.cells import cell_len

from perceptiondlm_ros.terminal import Progress, table


class Watched(io.StringIO):
    """Lets a test wait until something was shown."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal
        self.shown: dict[str, threading.Event] = {}

    def isatty(self) -> bool:
        return self.is_terminal

    def expect(self, text: str) -> threading.Event:
        return self.shown.setdefault(text, threading.Event())

    def write(self, text: str) -> int:
        for expected, event in self.shown.items():
            if expected in text:
                event.set()
        return super().write(text)


def watched_stderr(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> Watched:
    """Takes the place of stderr; in a fixture, pytest would put its own back."""
    watched = Watched(is_terminal)
    monkeypatch.setattr("sys.stderr", watched)
    monkeypatch.setenv("TERM", "xterm")
    return watched


def test_a_terminal_shows_what_is_going_on_and_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = watched_stderr(monkeypatch, is_terminal=True)
    loading, captioning = terminal.expect("loading [x]"), terminal.expect("captioning")
    with Progress("loading [x]") as progress:
        assert loading.wait(PATIENCE)
        assert sys.stderr is terminal, "what else rewrites a line there, as a download does, can"
        progress.now("captioning")
        assert captioning.wait(PATIENCE)
    assert terminal.getvalue().endswith("\x1b[2K"), "the line is erased"


def test_a_terminal_shows_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched_stderr(monkeypatch, is_terminal=True)
    half = terminal.expect("2 of 4 frames")
    with Progress("captioning", total=4, unit="frames") as progress:
        progress.advance()
        progress.advance()
        assert half.wait(PATIENCE)


def test_results_go_where_stdout_goes_while_a_terminal_shows_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched_stderr(monkeypatch, is_terminal=True)
    with Progress("captioning"):
        print("a red star")
    assert capsys.readouterr().out == "a red star\n"


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = watched_stderr(monkeypatch, is_terminal=False)
    told = log.expect("captioning: 3 of 4 frames, ")
    with Progress("loading", total=4, unit="frames", line_s=0.01) as progress:
        progress.now("captioning")
        progress.advance(3)
        assert told.wait(PATIENCE)
    assert "\x1b" not in log.getvalue() and "\r" not in log.getvalue()


def test_a_log_gets_nothing_of_what_is_soon_done_however_often_it_advances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = watched_stderr(monkeypatch, is_terminal=False)
    with Progress("captioning", total=10_000) as progress:
        for _ in range(10_000):
            progress.advance()
    assert log.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_errors_pass_through(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    stderr = watched_stderr(monkeypatch, is_terminal)
    with pytest.raises(KeyError), Progress("loading"):
        raise KeyError
    assert sys.stderr is stderr


HEADINGS = ("region", "confidence", "caption")
cells = st.text(st.characters(), max_size=120)
rows = st.lists(st.tuples(cells, st.just("0.12"), cells), min_size=1)


@given(rows, st.integers(50, 200))
def test_no_line_is_wider_than_the_terminal_and_no_letter_is_lost(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    text = table([HEADINGS, *rows], width, numbers=[1])
    lines = text.split("\n")
    assert lines.pop() == "" and max(map(cell_len, lines)) <= width
    letters = {c for row in rows for cell in row for c in cell if c.isalnum()}
    assert letters <= set(text)


@given(rows)
def test_without_a_terminal_each_row_has_one_line(rows: list[tuple[str, str, str]]) -> None:
    assert table(rows, 0).count("\n") == len(rows)


@pytest.mark.parametrize("width", [1, 10, 39])
def test_narrow_terminals_end_the_program_nowhere(width: int) -> None:
    assert "star" in table([("1 box 1,2,3,4", "0.50", "a small blue star")], width)


def test_cells_stand_below_each_other_and_numbers_end_together() -> None:
    assert table([("name", "size"), ("a", "1"), ("bcdef", "1000")], 0, numbers=[1]) == (
        "name   size\na         1\nbcdef  1000\n"
    )
