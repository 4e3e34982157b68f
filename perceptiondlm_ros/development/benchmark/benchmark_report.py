"""What a benchmark does and tells: tables for people, JSON, and a plot where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from perceptiondlm_ros.development.benchmark.machine import describe_machine, library_versions
from perceptiondlm_ros.development.benchmark.measuring import Case, Subject, take_turns
from perceptiondlm_ros.development.checkpoint_files import write_json
from perceptiondlm_ros.terminal import Progress, table

Rows = list[list[str]]
"""A header and what stands below it."""

_WORDS = {"backend", "what", "measured", ""}
"""Columns that are set to the left."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """One run of the benchmark.

    Attributes:
        name: of its files.
        title, notes: what is measured, and how to read the tables.
        groups: subjects that are there at once, with their cases.
        repetitions: of each case, after one to warm up.
        few_steps: whether few denoising steps warm up.
        tables: what was measured, once it was.
        plot: draws it into a file.
    """

    name: str
    title: str
    notes: str
    groups: list[tuple[Sequence[Subject], Sequence[Case]]]
    repetitions: int
    tables: Callable[[], list[Rows]]
    few_steps: bool = False
    plot: Callable[[Path], None] | None = None

    @property
    def subjects(self) -> list[Subject]:
        return [subject for subjects, _ in self.groups for subject in subjects]

    def measure(self, output: Path) -> None:
        """Fill the subjects; what fails is noted there."""
        repetitions = 1 + self.repetitions
        calls = repetitions * sum(len(group) * len(cases) for group, cases in self.groups)
        with Progress("measuring", calls, "calls") as progress:
            for subjects, cases in self.groups:
                take_turns(
                    *(subjects, cases, self.repetitions, output, progress),
                    few_steps=self.few_steps,
                )


def report(plan: BenchmarkPlan, output: Path) -> str:
    """Write NAME.json, NAME.md and, where there is anything to show, NAME.png; return the text of
    them, with their names."""
    machine, versions = describe_machine(), library_versions()
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    where = [machine["processor"], f"{machine['cores']} cores", *machine["gpus"]]
    installed = ", ".join(f"{name} {version}" for name, version in versions.items())
    introduction = [
        f"{plan.title}, {date}",
        f"{', '.join(where)}; {installed}",
        plan.notes.format(repetitions=plan.repetitions),
        *(
            f"{subject.name} failed: {subject.failure}"
            for subject in plan.subjects
            if subject.failure
        ),
    ]
    tables = plan.tables()
    text = [
        table(
            rows, numbers=[at for at, title in enumerate(rows[0]) if title not in _WORDS]
        ).rstrip()
        for rows in tables
    ]
    files = [output / f"{plan.name}.json", output / f"{plan.name}.md"]
    write_json(
        files[0],
        {
            "format": "perceptiondlm_ros benchmark",
            "format_version": 2,
            "date": date,
            "title": plan.title,
            "machine": machine,
            "versions": versions,
            "tables": [
                [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for rows in tables
            ],
            "subjects": [_json_of(subject) for subject in plan.subjects],
        },
    )
    fenced = [f"```text\n{rows}\n```" for rows in text]
    files[1].write_text("\n\n".join([*introduction, *fenced]) + "\n", encoding="utf-8")
    if plan.plot and any(subject.answers for subject in plan.subjects):
        files.append(output / f"{plan.name}.png")
        plan.plot(files[-1])
    return "\n\n".join([*introduction, *text, "\n".join(map(str, files))])


def _json_of(subject: Subject) -> dict[str, Any]:
    told = ("name", "description", "loading_seconds", "memory", "failure")
    cases = [{**asdict(case), "calls": calls} for case, calls in subject.answers.items()]
    return {key: getattr(subject, key) for key in told} | {"cases": cases}


def short_number(value: float) -> str:
    """Three digits that count, without exponents."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"
