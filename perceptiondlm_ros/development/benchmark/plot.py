"""Time against regions, a panel a number of tiles, a line a backend and cache mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from perceptiondlm_ros.development.benchmark.results import Results, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"torch": "#c9511f", "onnx": "#1f5fa8", "tensorrt": "#3a7d2c"}
_STYLES = {"exact": ("-", "o"), "prefix": ("--", "s")}
"""Line and marker."""

_GREY = "#555555"


def plot(results: Results, path: Path) -> None:
    """Write the PNG: medians as markers, least to most as bars."""
    from matplotlib.figure import Figure

    measured = results.measured()
    tiles = sorted({series.scenario.tiles for series in measured})
    figure = Figure(figsize=(1.6 + 3.6 * len(tiles), 4.6), layout="constrained")
    panels = figure.subplots(1, len(tiles), sharey=True, squeeze=False)[0]
    for axes, count in zip(panels, tiles, strict=True):
        here = [series for series in measured if series.scenario.tiles == count]
        for subject in results.subjects:
            _line(
                axes,
                subject.backend,
                subject.cache,
                [s for s in here if (s.backend, s.cache) == (subject.backend, subject.cache)],
            )
        _finish(axes, count, here)
    panels[0].set_ylabel("time of a call, s")
    columns = len({subject.backend for subject in results.subjects})
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    settings, machine = results.settings, results.machine
    figure.suptitle(
        f"{settings['checkpoint']}: all regions captioned in one call, "
        f"{settings['steps']} denoising steps",
        fontsize=12,
    )
    where = ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["gpus"]])
    note = figure.text(0.995, 0.01, f"{where}, {results.date[:10]}", ha="right", fontsize=7)
    note.set(color=_GREY, in_layout=False)
    figure.savefig(path, dpi=130)


def _line(axes: Axes, backend: str, cache: str, series: list[Series]) -> None:
    series = sorted(series, key=lambda one: one.scenario.regions)
    if not series:
        return
    spreads = [one.spread("total") for one in series]
    middle = [spread.median / 1e3 for spread in spreads]
    below = [(spread.median - spread.least) / 1e3 for spread in spreads]
    above = [(spread.most - spread.median) / 1e3 for spread in spreads]
    style, marker = _STYLES[cache]
    axes.errorbar(
        [one.scenario.regions for one in series],
        middle,
        yerr=(below, above),
        color=_COLOURS[backend],
        linestyle=style,
        marker=marker,
        markersize=4,
        capsize=2,
        elinewidth=0.8,
        label=f"{backend}, {cache}",
    )


def _finish(axes: Axes, tiles: int, series: list[Series]) -> None:
    from matplotlib.ticker import LogLocator

    regions = sorted({one.scenario.regions for one in series})
    axes.set_title(f"{tiles} tile{'s' if tiles > 1 else ''}", fontsize=11)
    axes.set_xlabel("regions in the call")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xticks(regions)
    axes.grid(which="major", alpha=0.35)
    axes.grid(which="minor", alpha=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
