"""Outputs side by side: one that fails is told and hurts no other."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event, Thread

import pytest
from log_support import Log
from output_support import result
from patience import PATIENCE
from ros_support import until_true

from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.outputs import Outgoing, Output, Outputs
from perceptiondlm_ros.ros.outputs.result import Result


class Drawn(Output):
    """An output that is drawn where it is told so."""

    def __init__(self, drawn: bool = False) -> None:
        self.drawn = drawn  # type: ignore[misc]

    def wanted(self) -> bool:
        return True


class Good(Drawn):
    rendered = 0

    def render(self, result: Result) -> Iterable[Outgoing]:
        self.rendered += 1
        return ()


class Failing(Drawn):
    def render(self, result: Result) -> Iterable[Outgoing]:
        raise ValueError("no ink")


class Unasked(Good):
    def wanted(self) -> bool:
        raise ValueError("nobody there")


@pytest.mark.parametrize("alive", [True, False])
def test_one_that_fails_hurts_no_other_and_is_told_while_that_means_something(alive: bool) -> None:
    log = Log()
    prompt, drawn = Good(), Good(drawn=True)
    faulty = [kind(drawn) for drawn in (False, True) for kind in (Failing, Unasked)]
    outputs = Outputs([*faulty, prompt, drawn], Monitor(log), lambda: 0, alive=lambda: alive)
    activation = outputs.open()
    assert outputs.publish(result(activation=activation))
    until_true(lambda: drawn.rendered == 1, "the drawn output")
    outputs.close()
    assert prompt.rendered == 1
    told = ["Failing failed: ValueError: no ink", "Unasked failed: ValueError: nobody there"]
    assert log.warnings == (told if alive else [])


class Press(Drawn):
    """Sends to itself what it renders and clears; holds a rendering back while `gate` is closed."""

    def __init__(self, drawn: bool = False) -> None:
        super().__init__(drawn)
        self.sent: list[str] = []
        self.busy = Event()
        self.gate = Event()
        self.gate.set()

    def publish(self, message: str) -> None:
        self.sent.append(message)

    def render(self, result: Result) -> Iterable[Outgoing]:
        self.busy.set()
        assert self.gate.wait(PATIENCE)
        yield self, f"frame {result.sequence}"

    def clear(self) -> Iterable[Outgoing]:
        yield self, "cleared"


def press() -> tuple[Outputs, Press, Press]:
    prompt, drawn = Press(), Press(drawn=True)
    outputs = Outputs([prompt, drawn], Monitor(Log()), lambda: 0)
    return outputs, prompt, drawn


def test_frames_go_out_in_order_and_only_in_their_activation() -> None:
    outputs, prompt, _ = press()
    one = outputs.open()
    sent = [outputs.publish(result(activation=one, sequence=n)) for n in (1, 3, 2, 3, 4)]
    assert sent == [True, True, False, True, True]
    outputs.close()
    outputs.close()
    two = outputs.open()
    assert not outputs.publish(result(activation=one, sequence=5))
    assert outputs.publish(result(activation=two, sequence=1)), "numbers may begin anew"
    outputs.close()
    frames = ["frame 1", "frame 3", "frame 3", "frame 4"]
    assert prompt.sent == [*frames, "cleared", "frame 1", "cleared"]


def test_what_stands_is_taken_back_after_a_drawing_that_runs_and_nothing_older_comes_after() -> (
    None
):
    outputs, prompt, drawn = press()
    activation = outputs.open()
    drawn.gate.clear()
    outputs.publish(result(activation=activation, sequence=1))
    assert drawn.busy.wait(PATIENCE)
    outputs.publish(result(activation=activation, sequence=2))
    clearing = Thread(target=outputs.clear, args=[3])
    clearing.start()
    drawn.gate.set()
    clearing.join(PATIENCE)
    assert not outputs.publish(result(activation=activation, sequence=2))
    outputs.publish(result(activation=activation, sequence=3))
    until_true(lambda: "frame 3" in drawn.sent, "the frame after")
    outputs.close()
    assert prompt.sent == ["frame 1", "frame 2", "cleared", "frame 3", "cleared"]
    after = drawn.sent[drawn.sent.index("cleared") :]
    assert after == ["cleared", "frame 3", "cleared"]
