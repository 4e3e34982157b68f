"""Results as tables, Markdown, JSON and a plot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from perceptiondlm_ros.development.benchmark.plot import plot
from perceptiondlm_ros.development.benchmark.results import Results, Series
from perceptiondlm_ros.development.benchmark.stopwatch import STAGES

Rows = list[list[str]]
"""A header and what stands below it."""


def write(results: Results, folder: Path) -> list[Path]:
    """Write `results.json`, `results.md` and, where there is anything to show, `time.png`."""
    files = [folder / "results.json", folder / "results.md"]
    files[0].write_text(json.dumps(results.to_json(), indent=1) + "\n", encoding="utf-8")
    files[1].write_text(report(results, as_markdown) + "\n", encoding="utf-8")
    if results.measured():
        files.append(folder / "time.png")
        plot(results, files[-1])
    return files


def report(results: Results, as_table: Callable[[Rows], str]) -> str:
    """What was measured on what, the times, and the memory."""
    settings, machine = results.settings, results.machine
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    where = ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["gpus"]])
    repetitions = max((len(one.milliseconds["total"]) for one in results.measured()), default=0)
    return "\n\n".join(
        [
            f"{settings['checkpoint']} ({settings['weights_bytes'] / 1e9:.3g} GB of weights), "
            f"{settings['steps']} denoising steps, {settings['caption_tokens']} caption tokens, "
            f"{results.date}",
            f"{where}; {versions}",
            f"Milliseconds of one call, median of {repetitions}; a step is one after "
            "the first, which is the prefill. Equal captions have equal digests.",
            as_table(table(results)),
            as_table(memory_table(results)),
        ]
    )


_HEADER = (
    *("backend", "cache", "tiles", "regions", "positions"),
    *("preprocessing", "vision", "prefill", "step", "total", "min-max", "captions"),
)


def table(results: Results) -> Rows:
    """A header and a row a series: medians in milliseconds."""
    return [list(_HEADER), *(_row(series) for series in results.measured())]


def _row(series: Series) -> list[str]:
    total = series.spread("total")
    batch = f"{series.groups} x " if series.groups > 1 else ""
    return [
        series.backend,
        series.cache,
        str(series.scenario.tiles),
        str(series.scenario.regions),
        f"{batch}{series.positions}",
        *(number(series.spread(stage).median) for stage in STAGES),
        f"{number(total.least)}-{number(total.most)}",
        " ".join(sorted(series.digests)),
    ]


def memory_table(results: Results) -> Rows:
    """A header and a row a subject."""
    rows = [["backend", "cache", "loading, s", "host, GB", "device, GB", "what"]]
    for subject in results.subjects:
        host, device = (subject.memory.get(key) for key in ("host", "device"))
        rows.append(
            [
                subject.backend,
                subject.cache,
                f"{subject.loading_seconds:.1f}" if subject.description else "-",
                *("-" if value is None else f"{value / 1e9:.2f}" for value in (host, device)),
                subject.failure or subject.description,
            ]
        )
    return rows


def number(milliseconds: float) -> str:
    """Three digits that count, without exponents."""
    decimals = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:.{decimals}f}"


_WORDS = {"backend", "cache", "what"}
"""Columns that are set to the left."""


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if title in _WORDS else cell.rjust(width)
            for cell, width, title in zip(row, widths, rows[0], strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """The same as a Markdown table."""
    rules = [" --- " if title in _WORDS else " ---: " for title in rows[0]]

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(rows[0]), f"|{'|'.join(rules)}|", *map(line, rows[1:])])
