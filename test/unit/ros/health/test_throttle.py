"""Throttled log lines."""

from perceptiondlm_ros.ros.health.throttle import Throttle


def test_one_line_a_period_and_the_rest_is_counted() -> None:
    lines: list[str] = []
    clock = [0.0]
    warn = Throttle(lines.append, period=5.0, now=lambda: clock[0])
    for tenth in range(61):
        clock[0] = tenth / 10
        warn("image", "bad image")
    assert lines == ["bad image", "bad image (49 more like it before)"]


def test_causes_do_not_hide_each_other() -> None:
    lines: list[str] = []
    warn = Throttle(lines.append, now=lambda: 0.0)
    warn("image", "bad image")
    warn("regions", "bad box")
    assert lines == ["bad image", "bad box"]
