"""The run as a picture: where each figure comes from, beside its limit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.demo.load.figures import MINUTE_S, Measured, growth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREEN, _GREY = "#1f5fa8", "#c9511f", "#3b8a4e", "#7a7a7a"
_LIMIT: dict[str, Any] = {"color": "#b3261e", "linestyle": "--", "linewidth": 1.2}


def plot(measured: Measured, rate: float, path: Path) -> None:
    """Write four plots as one PNG. rate: of the camera [Hz]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    _ages(axes[0, 0], measured, rate)
    _memory(axes[0, 1], measured)
    _callbacks(axes[1, 0], measured)
    _publishing(axes[1, 1], measured)
    title = (
        f"{measured.seconds:.0f} s of 1280x720 at {rate:.0f} Hz, "
        f"{len(measured.frames)} of {len(measured.waiting)} frames captioned, the newest each time"
    )
    figure.suptitle(title, fontsize=13)
    figure.savefig(path, dpi=110)


def _ages(axes: Axes, measured: Measured, rate: float) -> None:
    times, ages = measured.started.T
    matched = 1e3 * float(np.quantile(measured.waiting, 0.99))
    axes.scatter(times, 1e3 * ages, s=6, color=_BLUE, label="when its captioning starts")
    axes.axhline(matched, color=_GREY, label="matched and looked at, p99")
    axes.axhline(matched + 1e3 / rate, **_LIMIT, label="and one frame interval later")
    axes.set(xlabel="time [s]", ylabel="age [ms]", title="Age of the captioned frames")
    axes.set_ylim(0, 1.5 * max(matched + 1e3 / rate, 1e3 * float(np.quantile(ages, 0.99))))
    _finish(axes)


def _memory(axes: Axes, measured: Measured) -> None:
    times, sizes = measured.memory.T
    axes.plot(times, sizes, color=_BLUE, linewidth=1.2)
    if times[-1] >= 3 * MINUTE_S:
        after = sizes[(times >= MINUTE_S) & (times < 2 * MINUTE_S)]
        axes.axvspan(0, MINUTE_S, color="#eeeeee", label="the first minute")
        axes.axhline(1.02 * np.median(after), **_LIMIT, label="2 % above the second minute")
    low, high = float(sizes.min()), float(sizes.max())
    axes.set_ylim(low - 0.05 * high, high + 0.05 * high)
    title = f"Resident memory of the node: {growth(measured.memory):+.2f} %"
    axes.set(xlabel="time [s]", ylabel="memory [MB]", title=title)
    _finish(axes)


def _callbacks(axes: Axes, measured: Measured) -> None:
    colours = (_BLUE, _ORANGE, _GREEN, _GREY)
    for (name, values), colour in zip(measured.callbacks.items(), colours, strict=False):
        axes.plot(*_share_above(1e3 * values), color=colour, label=name)
    axes.axvline(5.0, **_LIMIT, label="limit of p99")
    axes.axhline(1.0, color=_GREY, linewidth=0.7, linestyle=":")
    _logarithmic(axes)
    axes.set(xlabel="time [ms]", ylabel="calls that take longer [%]", title="Callbacks")
    _finish(axes)


def _publishing(axes: Axes, measured: Measured) -> None:
    axes.plot(*_share_above(1e3 * measured.publishing), color=_BLUE, label="descriptions")
    axes.axvline(3.0, **_LIMIT, label="limit of p95")
    axes.axhline(5.0, color=_GREY, linewidth=0.7, linestyle=":")
    _logarithmic(axes)
    axes.set(
        xlabel="time [ms]",
        ylabel="frames that take longer [%]",
        title="From captions that are ready to their publication",
    )
    _finish(axes)


def _logarithmic(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log", xlim=(0.01, 30), ylim=(0.02, 100))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=9)


def _share_above(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each value in order, the percentage of values above it."""
    ordered = np.sort(values)
    return ordered, 100 * (1 - np.arange(len(ordered)) / max(len(ordered), 1))
