"""Progress overwrites itself on a terminal and is said once elsewhere."""

from __future__ import annotations

import io

import pytest

from perceptiondlm_ros.development.demo.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def speak(console: Console) -> None:
    console.wait("loading", 1)
    console.wait("loading", 2)
    console.line("loaded")
    console.wait("loading", 3)


def test_without_a_terminal_there_is_one_line_for_each_thing_waited_for() -> None:
    out = io.StringIO()
    console = Console(out)
    speak(console)
    assert out.getvalue() == "loading …\nloaded\nloading …\n"
    assert not console.colours and console.width is None


def test_on_a_terminal_the_waiting_line_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    console = Console(out)
    speak(console)
    erase = "\r\x1b[K"
    assert out.getvalue() == f"{erase}loading: 1 s{erase}loading: 2 s{erase}loaded\n" + (
        f"{erase}loading: 3 s"
    )
    assert console.colours and console.width


def test_colours_can_be_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Console(Terminal()).colours


def test_output_that_has_no_check_mark_gets_another_sign() -> None:
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding="latin-1")
    Console(stream).line("✓ right")
    assert data.getvalue() == b"? right\n"
