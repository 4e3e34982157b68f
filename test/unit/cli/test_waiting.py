"""The line on the terminal while something takes long."""

import io
import threading

import pytest
from patience import PATIENCE

from perceptiondlm_ros.cli.waiting import Waiting


class Terminal(io.StringIO):
    """Lets a test wait until something was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, threading.Event] = {}

    def isatty(self) -> bool:
        return True

    def expect(self, text: str) -> threading.Event:
        return self.shown.setdefault(text, threading.Event())

    def write(self, text: str) -> int:
        for expected, event in self.shown.items():
            if expected in text:
                event.set()
        return super().write(text)


def test_shows_what_is_going_on_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    loading, captioning = terminal.expect("loading, 0 s"), terminal.expect("captioning")
    with Waiting("loading", patience=0) as waiting:
        assert loading.wait(PATIENCE)
        waiting.now("captioning")
        assert captioning.wait(PATIENCE)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_is_silent_when_it_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Waiting("loading", patience=60):
        pass
    assert terminal.getvalue() == ""


def test_writes_nothing_into_files(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with Waiting("loading", patience=0):
        pass
    assert stream.getvalue() == ""


def test_errors_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(KeyError), Waiting("loading", patience=0):
        raise KeyError
