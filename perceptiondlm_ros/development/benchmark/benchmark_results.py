"""What was measured: calls by scenario and backend, and what they were measured on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from perceptiondlm_ros.development.benchmark.measuring_process import TimedCall
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stage_times import STAGES


@dataclass
class Subject:
    """One backend with one cache mode.

    Attributes:
        description: what the backend says of itself.
        loading_seconds: from nothing to a model that runs, libraries included.
        memory: most bytes of the process over all scenarios, `host` and `device`.
        failure: why it could not be measured, or not to the end; empty otherwise.
        calls: the repetitions of each scenario, at least one.
    """

    backend: str
    cache: str
    description: str = ""
    loading_seconds: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    calls: dict[Scenario, list[TimedCall]] = field(default_factory=dict)

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

    @property
    def series(self) -> list[tuple[Subject, Scenario, list[TimedCall]]]:
        """All repetitions of each scenario, subject by subject."""
        return [
            (subject, scenario, subject.calls[scenario])
            for subject in self.subjects
            for scenario in sorted(subject.calls)
        ]

    @property
    def where(self) -> str:
        """The machine in a few words."""
        machine = self.machine
        return ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["gpus"]])

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        told = ("backend", "cache", "description", "loading_seconds", "memory", "failure")
        return {
            "format": "perceptiondlm_ros benchmark",
            "format_version": 1,
            "date": self.date,
            "settings": self.settings,
            "machine": self.machine,
            "versions": self.versions,
            "subjects": [{key: getattr(subject, key) for key in told} for subject in self.subjects],
            "series": [
                {
                    "backend": subject.backend,
                    "cache": subject.cache,
                    "scenario": asdict(scenario),
                    "milliseconds": {
                        stage: [call.milliseconds[stage] for call in calls] for stage in STAGES
                    },
                    "positions": calls[-1].positions,
                    "groups": calls[-1].groups,
                    "tokens": calls[-1].tokens,
                    "digests": sorted({call.digest for call in calls}),
                }
                for subject, scenario, calls in self.series
            ],
        }
