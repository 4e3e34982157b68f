"""What was measured, and its summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stopwatch import STAGES


@dataclass(frozen=True)
class Spread:
    """Median and extremes of some repetitions, in milliseconds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass
class Series:
    """All repetitions of one scenario with one backend and cache mode.

    Attributes:
        milliseconds: by stage, a number a repetition.
        positions: length of the sequence of a group.
        groups: groups of regions that ran as one batch.
        tokens: caption tokens of one repetition.
        digests: of the caption tokens; one, if all repetitions said the same.
    """

    backend: str
    cache: str
    scenario: Scenario
    milliseconds: dict[str, list[float]] = field(
        default_factory=lambda: {stage: [] for stage in STAGES}
    )
    positions: int = 0
    groups: int = 0
    tokens: int = 0
    digests: set[str] = field(default_factory=set)

    def add(self, measured: dict[str, Any]) -> None:
        """One answer of a worker."""
        for stage in STAGES:
            self.milliseconds[stage].append(measured["milliseconds"][stage])
        self.positions, self.groups = measured["positions"], measured["groups"]
        self.tokens = measured["tokens"]
        self.digests.add(measured["digest"])

    def spread(self, stage: str) -> Spread:
        return Spread.of(self.milliseconds[stage])


@dataclass
class Subject:
    """One backend with one cache mode.

    Attributes:
        description: what the backend says of itself.
        loading_seconds: from nothing to a model that runs, libraries included.
        memory: most bytes of the process over all scenarios, `host` and `device`.
        failure: why it could not be measured, or not to the end; empty otherwise.
    """

    backend: str
    cache: str
    description: str = ""
    loading_seconds: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    failure: str = ""

    @property
    def name(self) -> str:
        return f"{self.backend} {self.cache}"


@dataclass
class Results:
    """Everything of one run.

    Attributes:
        settings: what was asked for: checkpoint, steps, repetitions.
        machine, versions, date: what it ran on, and when (ISO 8601, UTC).
    """

    settings: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    date: str
    subjects: list[Subject] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def measured(self) -> list[Series]:
        """Series with at least one repetition."""
        return [series for series in self.series if series.milliseconds["total"]]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": "perceptiondlm_ros benchmark",
            "format_version": 1,
            "date": self.date,
            "settings": self.settings,
            "machine": self.machine,
            "versions": self.versions,
            "subjects": [asdict(subject) for subject in self.subjects],
            "series": [
                {**asdict(series), "digests": sorted(series.digests)} for series in self.measured()
            ],
        }
