"""What a run under load comes to: figures with their limits, and the run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.demo.load.timed_events import Measured
from perceptiondlm_ros.development.plotting import (
    BLUE,
    GREEN,
    GREY,
    LIMIT,
    ORANGE,
    finish,
    new_figure,
)
from perceptiondlm_ros.terminal import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MINUTE_S: Final = 60.0
_CALLBACK_MS: Final = 5.0
_PUBLISHING_MS: Final = 3.0


@dataclass(frozen=True)
class Figure:
    """One measured value, and the limit that it must not pass; None where it is only told."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def within(self) -> bool:
        return self.limit is None or self.value <= self.limit  # NaN, nothing measured, is not


def growth(memory: NDArray[np.float64]) -> float:
    """Percent from the second minute (of a shorter run: the second quarter) to the last stretch.

    Medians of stretches, as a single look catches a frame more or less in flight.
    """
    if len(memory) < 8:
        return float("nan")
    times, sizes = memory.T
    end = times[-1]
    start = width = _MINUTE_S if end >= 3 * _MINUTE_S else end / 4
    early = sizes[(times >= start) & (times < start + width)]
    late = sizes[times > end - width]
    return float(100 * (np.median(late) / np.median(early) - 1))


def figures(measured: Measured, rate: float) -> list[Figure]:
    """The figures of a run. rate: of the camera [Hz]."""
    age, waiting = 1e3 * measured.started[:, 1], 1e3 * measured.waiting
    publishing = 1e3 * measured.publishing
    after = "after the first minute" if measured.seconds >= 3 * _MINUTE_S else "of a short run"
    # A frame is captioned at the latest when the next one is there.
    oldest = 1e3 / rate + _quantile(waiting, 0.99)
    matched, starting = "once matched and looked at", "when its captioning starts"
    ready = "captions ready to published"
    return [
        Figure("frames a second", len(waiting) / measured.seconds, "Hz"),
        Figure("captioned frames a second", len(age) / measured.seconds, "Hz"),
        Figure(f"age of a frame {matched}, p50", _quantile(waiting, 0.5), "ms"),
        Figure(f"age of a frame {matched}, p99", _quantile(waiting, 0.99), "ms"),
        Figure(f"age of a frame {starting}, p50", _quantile(age, 0.5), "ms"),
        Figure(f"age of a frame {starting}, p99", _quantile(age, 0.99), "ms", oldest),
        Figure(f"age of a frame {starting}, most", _quantile(age, 1.0), "ms"),
        Figure("newer frames that waited by then, most", _quantile(measured.newer, 1.0), "frames"),
        *(
            Figure(f"callback {name}, p99", _quantile(1e3 * values, 0.99), "ms", _CALLBACK_MS)
            for name, values in measured.callbacks.items()
        ),
        Figure(f"{ready}, p50", _quantile(publishing, 0.5), "ms"),
        Figure(f"{ready}, p95", _quantile(publishing, 0.95), "ms", _PUBLISHING_MS),
        Figure("resident memory at the end", _quantile(measured.memory[-5:, 1], 0.5), "MB"),
        Figure(f"growth of memory {after}", growth(measured.memory), "%", 2.0),
    ]


def figure_table(every: Sequence[Figure]) -> str:
    """Each figure with its limit and whether it holds."""
    rows = [["", "measured", "", "at most", ""]]
    for figure in every:
        limit = "" if figure.limit is None else f"{figure.limit:.2f}"
        mark = "✓" if figure.within else "✗"
        rows.append([figure.name, f"{figure.value:.2f}", figure.unit, limit, limit and mark])
    return table(rows, numbers=(1, 3))


def _quantile(values: NDArray[np.float64] | NDArray[np.int64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def plot_load(measured: Measured, rate: float, path: Path) -> None:
    """Write four plots as one PNG. rate: of the camera [Hz]."""
    figure = new_figure(13, 8)
    axes = figure.subplots(2, 2)
    _plot_ages(axes[0, 0], measured, rate)
    _plot_memory(axes[0, 1], measured)
    colours = (BLUE, ORANGE, GREEN, GREY)
    for (name, values), colour in zip(measured.callbacks.items(), colours, strict=False):
        axes[1, 0].plot(*_share_above(1e3 * values), color=colour, label=name)
    _finish_shares(axes[1, 0], "Callbacks", "calls", _CALLBACK_MS, 99)
    axes[1, 1].plot(*_share_above(1e3 * measured.publishing), color=BLUE, label="descriptions")
    title = "From captions that are ready to their publication"
    _finish_shares(axes[1, 1], title, "frames", _PUBLISHING_MS, 95)
    figure.suptitle(
        f"{measured.seconds:.0f} s of 1280x720 at {rate:.0f} Hz, {len(measured.started)} of "
        f"{len(measured.waiting)} frames captioned, the newest each time",
        fontsize=13,
    )
    figure.savefig(path, dpi=110)


def _plot_ages(axes: Axes, measured: Measured, rate: float) -> None:
    times, ages = measured.started.T
    matched = 1e3 * float(np.quantile(measured.waiting, 0.99))
    limit = matched + 1e3 / rate
    axes.scatter(times, 1e3 * ages, s=6, color=BLUE, label="when its captioning starts")
    axes.axhline(matched, color=GREY, label="matched and looked at, p99")
    axes.axhline(limit, **LIMIT, label="and one frame interval later")
    axes.set_ylim(0, 1.5 * max(limit, 1e3 * float(np.quantile(ages, 0.99))))
    finish(axes, xlabel="time [s]", ylabel="age [ms]", title="Age of the captioned frames")


def _plot_memory(axes: Axes, measured: Measured) -> None:
    times, sizes = measured.memory.T
    axes.plot(times, sizes, color=BLUE, linewidth=1.2)
    if times[-1] >= 3 * _MINUTE_S:
        after = sizes[(times >= _MINUTE_S) & (times < 2 * _MINUTE_S)]
        axes.axvspan(0, _MINUTE_S, color="#eeeeee", label="the first minute")
        axes.axhline(1.02 * np.median(after), **LIMIT, label="2 % above the second minute")
    low, high = float(sizes.min()), float(sizes.max())
    axes.set_ylim(low - 0.05 * high, high + 0.05 * high)
    title = f"Resident memory of the node: {growth(measured.memory):+.2f} %"
    finish(axes, xlabel="time [s]", ylabel="memory [MB]", title=title)


def _finish_shares(axes: Axes, title: str, what: str, limit_ms: float, percentile: int) -> None:
    """For what took how long, on logarithmic axes with a limit for a percentile."""
    axes.axvline(limit_ms, **LIMIT, label=f"limit of p{percentile}")
    axes.axhline(100 - percentile, color=GREY, linewidth=0.7, linestyle=":")
    axes.set(xscale="log", yscale="log", xlim=(0.01, 30), ylim=(0.02, 100))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    finish(axes, xlabel="time [ms]", ylabel=f"{what} that take longer [%]", title=title)


def _share_above(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each value in order, the percentage of values above it."""
    ordered = np.sort(values)
    return ordered, 100 * (1 - np.arange(len(ordered)) / max(len(ordered), 1))
