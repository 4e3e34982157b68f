"""Outputs side by side: one that fails is told and hurts no other."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from output_support import result
from ros_support import until_true

from perceptiondlm_ros.ros.frames import Result
from perceptiondlm_ros.ros.outputs import Outgoing, Output, Outputs
from perceptiondlm_ros.ros.status import Status
from perceptiondlm_ros.ros.throttle import Throttle


class Good(Output):
    def __init__(self) -> None:
        self.rendered = 0

    def render(self, result: Result) -> Iterable[Outgoing]:
        self.rendered += 1
        return ()


class Failing(Output):
    def render(self, result: Result) -> Iterable[Outgoing]:
        raise ValueError("no ink")


class Unasked(Good):
    def wanted(self) -> bool:
        raise ValueError("nobody there")


@pytest.mark.parametrize("alive", [True, False])
def test_one_that_fails_hurts_no_other_and_is_told_while_that_means_something(alive: bool) -> None:
    lines: list[str] = []
    prompt, drawn = Good(), Good()
    outputs = Outputs(
        [Failing(), Unasked(), prompt],
        [Failing(), Unasked(), drawn],
        Status(),
        lambda: 0,
        Throttle(lines.append),
        alive=lambda: alive,
    )
    activation = outputs.open()
    assert outputs.publish(result(activation=activation))
    until_true(lambda: drawn.rendered == 1, "the drawn output")
    outputs.close()
    assert prompt.rendered == 1
    told = ["Failing failed: ValueError: no ink", "Unasked failed: ValueError: nobody there"]
    assert lines == (told if alive else [])
