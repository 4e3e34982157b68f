"""Tells the log when the node's condition changes: once for each change, not once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perceptiondlm_ros.ros.health.health import Condition, Health, Level

# Whoever sees these happen writes a line of its own at once: a transition, a pass, the matching.
_TOLD_ELSEWHERE = {
    *(Condition.FINALIZED, Condition.TRANSITION_FAILED),
    *(Condition.UNCONFIGURED, Condition.INACTIVE, Condition.DISABLED),
    *(Condition.OUT_OF_MEMORY, Condition.FAILING),
    *(Condition.UNMATCHED, Condition.REGIONS_DROPPED, Condition.STARTING),
    Condition.MASKS_MISSING,
}
_FIRST_REMINDER = 10.0
"""Seconds after which a long step is told again, then after twice as long each time."""


class Announcer:
    """A condition that comes and goes is told once a `period` of seconds, whatever it does.

    write: takes a line, for each level.
    """

    def __init__(
        self, write: Mapping[Level, Callable[[str], object]], period: float = 10.0
    ) -> None:
        self._write = write
        self._period = period
        self._condition: Condition | None = None
        self._told: dict[Condition, float] = {}
        self._reminder = _FIRST_REMINDER

    def look(self, now: float, health: Health, activity_for: float = 0.0) -> None:
        """now: a monotonic clock, in seconds. activity_for: how long a long step has run."""
        if health.condition is Condition.BUSY:
            self._remind(health, activity_for)
        elif health.condition in _TOLD_ELSEWHERE:
            self._condition = health.condition
        elif health.condition is not self._condition:
            told = self._told.get(health.condition)
            if told is None or now - told >= self._period:
                self._condition = health.condition
                self._told[health.condition] = now
                self._write[health.level](health.reason)

    def _remind(self, health: Health, activity_for: float) -> None:
        self._condition = health.condition
        if activity_for < _FIRST_REMINDER:
            self._reminder = _FIRST_REMINDER
        elif activity_for >= self._reminder:
            self._reminder *= 2
            self._write[Level.OK](health.reason)
