"""The tiny export on stand-ins of TensorRT."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tensorrt_stand_in.passes import OnStandIn
    from tensorrt_stand_in.plans import Script


class Listener(logging.Handler):
    """Waits for lines of the package's log.

    Args:
        text: what is in the lines that count.
        count: of them.
    """

    def __init__(self, text: str, count: int) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self.heard = threading.Event()
        self._text, self._count = text, count

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.records.append(record)
        if len(self.records) >= self._count:
            self.heard.set()


@pytest.fixture
def listen() -> Iterator[Callable[[str, int], Listener]]:
    """Makes listeners to the package's log."""
    log, made = logging.getLogger("perceptiondlm_ros"), list[Listener]()
    level = log.level
    log.setLevel(logging.INFO)

    def make(text: str, count: int) -> Listener:
        made.append(Listener(text, count))
        log.addHandler(made[-1])
        return made[-1]

    yield make
    for listener in made:
        log.removeHandler(listener)
    log.setLevel(level)


@pytest.fixture
def load(
    trt: ModuleType, trt_script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OnStandIn:
    """Loads the tiny export, or another folder; engines are kept in `tmp_path / "engines"`."""
    from tensorrt_stand_in.passes import OnStandIn

    monkeypatch.setenv("PERCEPTIONDLM_ENGINES", str(tmp_path / "engines"))
    return OnStandIn(trt, trt_script.gpu)
