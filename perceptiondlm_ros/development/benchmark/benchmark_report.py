"""What the benchmark measured, as tables, Markdown, JSON, and a plot of time against regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from perceptiondlm_ros.development.benchmark.measuring_process import TimedCall
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stage_times import STAGES
from perceptiondlm_ros.development.checkpoint_files import write_json
from perceptiondlm_ros.development.plotting import BLUE, GREEN, GREY, ORANGE, new_figure
from perceptiondlm_ros.terminal import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = list[list[str]]
"""A header and what stands below it."""

_WORDS: Final = {"backend", "cache", "what"}
"""Columns that are set to the left."""

_COLOURS: Final = {"torch": ORANGE, "onnx": BLUE, "tensorrt": GREEN}
_STYLES: Final = {"exact": "-o", "prefix": "--s"}
"""Line and marker."""


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


def write_report(results: Results, folder: Path) -> list[Path]:
    """Write `results.json`, `results.md` and, where there is anything to show, `time.png`."""
    files = [folder / "results.json", folder / "results.md"]
    write_json(files[0], results.to_json())
    tables = [_markdown(rows) for rows in (time_rows(results), memory_rows(results))]
    files[1].write_text("\n\n".join([*_introduction(results), *tables]) + "\n", encoding="utf-8")
    if results.series:
        files.append(folder / "time.png")
        plot_times(results, files[-1])
    return files


def report_text(results: Results) -> str:
    """What was measured on what, the times, and the memory."""
    tables = []
    for rows in (time_rows(results), memory_rows(results)):
        numbers = [column for column, title in enumerate(rows[0]) if title not in _WORDS]
        tables.append(table(rows, numbers=numbers))
    return "\n\n".join([*_introduction(results), *tables])


def _introduction(results: Results) -> list[str]:
    settings = results.settings
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    repetitions = max((len(calls) for _, _, calls in results.series), default=0)
    return [
        f"{settings['checkpoint']} ({settings['weights_bytes'] / 1e9:.3g} GB of weights), "
        f"{settings['steps']} denoising steps, {settings['caption_tokens']} caption tokens, "
        f"{results.date}",
        f"{results.where}; {versions}",
        f"Milliseconds of one call, median of {repetitions}; a step is one after "
        "the first, which is the prefill. Equal captions have equal digests.",
    ]


def time_rows(results: Results) -> Rows:
    """A header and a row a series of calls: medians in milliseconds."""
    header = ["backend", "cache", "tiles", "regions", "positions"]
    rows = [[*header, *STAGES, "min-max", "captions"]]
    for subject, scenario, calls in results.series:
        total = [call.milliseconds["total"] for call in calls]
        groups, positions = calls[-1].groups, calls[-1].positions
        rows.append(
            [
                *(subject.backend, subject.cache, str(scenario.tiles), str(scenario.regions)),
                f"{groups} x {positions}" if groups > 1 else str(positions),
                *(short_number(median(c.milliseconds[stage] for c in calls)) for stage in STAGES),
                f"{short_number(min(total))}-{short_number(max(total))}",
                " ".join(sorted({call.digest for call in calls})),
            ]
        )
    return rows


def memory_rows(results: Results) -> Rows:
    """A header and a row a subject."""
    rows = [["backend", "cache", "loading, s", "host, GB", "device, GB", "what"]]
    for subject in results.subjects:
        memory = [subject.memory.get(key) for key in ("host", "device")]
        rows.append(
            [
                subject.backend,
                subject.cache,
                f"{subject.loading_seconds:.1f}" if subject.description else "-",
                *("-" if value is None else f"{value / 1e9:.2f}" for value in memory),
                subject.failure or subject.description,
            ]
        )
    return rows


def short_number(milliseconds: float) -> str:
    """Three digits that count, without exponents."""
    decimals = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:.{decimals}f}"


def _markdown(rows: Rows) -> str:
    rules = [" --- " if title in _WORDS else " ---: " for title in rows[0]]

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(rows[0]), f"|{'|'.join(rules)}|", *map(line, rows[1:])])


def plot_times(results: Results, path: Path) -> None:
    """Draw time against regions as PNG: a panel a number of tiles, medians with their extremes."""
    tiles = sorted({scenario.tiles for _, scenario, _ in results.series})
    figure = new_figure(max(1.6 + 3.6 * len(tiles), 7.2), 4.6)  # the title is as wide
    panels = figure.subplots(1, len(tiles), sharey=True, squeeze=False)[0]
    for axes, count in zip(panels, tiles, strict=True):
        for subject in results.subjects:
            _draw_line(axes, subject, count)
        here = {scenario.regions for _, scenario, _ in results.series if scenario.tiles == count}
        _finish_panel(axes, count, sorted(here))
    panels[0].set_ylabel("time of a call, s")
    columns = len({subject.backend for subject in results.subjects})
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    figure.suptitle(
        f"{results.settings['checkpoint']}: all regions captioned in one call, "
        f"{results.settings['steps']} denoising steps",
        fontsize=12,
    )
    note = figure.text(0.995, 0.01, f"{results.where}, {results.date[:10]}", ha="right", fontsize=7)
    note.set(color=GREY, in_layout=False)
    figure.savefig(path, dpi=130)


def _draw_line(axes: Axes, subject: Subject, tiles: int) -> None:
    times = {
        scenario.regions: [call.milliseconds["total"] / 1e3 for call in calls]
        for scenario, calls in sorted(subject.calls.items())
        if scenario.tiles == tiles
    }
    if times:
        middle = [median(values) for values in times.values()]
        below = [at - min(values) for at, values in zip(middle, times.values(), strict=True)]
        above = [max(values) - at for at, values in zip(middle, times.values(), strict=True)]
        axes.errorbar(
            list(times),
            middle,
            yerr=(below, above),
            fmt=_STYLES[subject.cache],
            color=_COLOURS[subject.backend],
            markersize=4,
            capsize=2,
            elinewidth=0.8,
            label=f"{subject.backend}, {subject.cache}",
        )


def _finish_panel(axes: Axes, tiles: int, regions: list[int]) -> None:
    from matplotlib.ticker import LogLocator

    title = f"{tiles} tile{'s' if tiles > 1 else ''}"
    axes.set(title=title, xlabel="regions in the call", yscale="log", xticks=regions)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.grid(which="major", alpha=0.35)
    axes.grid(which="minor", alpha=0.12)
