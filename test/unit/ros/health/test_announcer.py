"""Each change of condition is told once, a flapping one not more than once a period."""

from __future__ import annotations

from perceptiondlm_ros.ros.health.diagnostics import Announcer
from perceptiondlm_ros.ros.health.faults import Level
from perceptiondlm_ros.ros.health.judging import Condition, Health

OK = Health(Level.OK, Condition.OK, "captioning")
WAITING = Health(Level.WARN, Condition.WAITING_FOR_IMAGES, "waiting for images")
DEAF = Health(Level.ERROR, Condition.INCOMPATIBLE, "QoS incompatible")
STOPPED = Health(Level.STALE, Condition.IMAGES_STOPPED, "no images")
FAILING = Health(Level.ERROR, Condition.FAILING, "captioning failed")


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []
        self.now = 0.0
        self.announcer = Announcer(lambda *line: self.lines.append(line), period=10.0)

    def see(self, health: Health, seconds: int = 1, busy_since: float | None = None) -> None:
        for _ in range(seconds):
            self.now += 1.0
            busy_for = self.now - busy_since if busy_since is not None else 0.0
            self.announcer.look(self.now, health, busy_for)


def test_each_change_is_told_once_at_its_level() -> None:
    log = Log()
    for health in (WAITING, DEAF, OK, STOPPED, OK):
        log.see(health, 20)
    assert log.lines == [(h.level, h.reason) for h in (WAITING, DEAF, OK, STOPPED, OK)]


def test_flapping_is_told_once_a_period_and_what_stays_is_told_in_the_end() -> None:
    log = Log()
    for _ in range(30):
        log.see(OK)
        log.see(WAITING)
    assert 6 <= len(log.lines) <= 14
    log.see(OK, 12)
    assert log.lines[-1] == (Level.OK, "captioning")


def test_what_others_have_told_is_not_told_again_but_its_end_is() -> None:
    log = Log()
    log.see(OK, 20)
    log.see(FAILING, 20)
    log.see(OK, 20)
    assert log.lines == [(Level.OK, "captioning")] * 2


def test_a_long_step_is_told_after_ten_seconds_and_then_ever_less_often() -> None:
    log = Log()
    for second in range(1, 101):
        busy = Health(Level.WARN, Condition.BUSY, f"building for {second} s")
        log.announcer.look(float(second), busy, float(second))
    assert [line for _, line in log.lines] == [f"building for {n} s" for n in (10, 20, 40, 80)]
    log.lines.clear()
    for second in range(1, 12):
        busy = Health(Level.WARN, Condition.BUSY, f"warming up for {second} s")
        log.announcer.look(200.0 + second, busy, float(second))
    assert [line for _, line in log.lines] == ["warming up for 10 s"], "a new step counts anew"
