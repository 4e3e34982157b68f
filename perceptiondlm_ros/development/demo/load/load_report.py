"""What a run under load comes to: figures with their limits, and the run as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

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

SETTLING_S: Final = 2.0
"""Left out at the start: the first frames meet a node that still finds its publishers."""

_MINUTE_S: Final = 60.0
_CALLBACK_MS: Final = 5.0
_PUBLISHING_MS: Final = 3.0

Floats = NDArray[np.float64]


class TimedEvent(NamedTuple):
    """What the node did: a callback ended; a frame that was matched and looked at was handed to the
    model's thread; its captioning started; its captions were ready; they were published.

    time_ns: of this machine's clock, at the event. stamp_ns: of the frame, 0 where none is meant.
    name: of the callback. seconds: what the callback took; 0 elsewhere.
    """

    event: Literal["callback", "handed", "started", "ready", "published"]
    time_ns: int
    stamp_ns: int = 0
    name: str = ""
    seconds: float = 0.0


def read_events(path: Path) -> Iterator[TimedEvent]:
    """The events in a file; a last line that was cut off is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield TimedEvent(*json.loads(line))


@dataclass(frozen=True)
class Measured:
    """The samples behind the figures. Times are in seconds since the start of the measurement.

    callbacks: name → seconds that each call took.
    started: float64 [N, 2], for each captioned frame when its captioning started, and its age then.
    newer: int64 [N], how many newer frames waited for the model by then.
    waiting: float64 [H], ages of all frames when they were matched, looked at, and waited for the
        model [s].
    publishing: seconds from captions that are ready to their publication, for each pass.
    memory: float64 [M, 2], when it was looked at, and the resident memory of the node [MB].
    """

    callbacks: dict[str, Floats]
    started: Floats
    newer: NDArray[np.int64]
    waiting: Floats
    publishing: Floats
    memory: Floats

    @property
    def seconds(self) -> float:
        return float(self.memory[-1, 0]) if len(self.memory) else 0.0


def measure(events: Iterable[TimedEvent], memory: Sequence[tuple[int, float]]) -> Measured:
    """What the events of a run say once the node has settled.

    memory: when it was looked at [ns], and what was resident [MB].
    """
    events = list(events)
    first = min((event.time_ns for event in events if event.event == "started"), default=0)
    begin = first + round(SETTLING_S * 1e9)
    kept = [event for event in events if event.time_ns >= begin]
    started = [event for event in kept if event.event == "started"]
    handed = [(e.stamp_ns, e.time_ns) for e in events if e.event == "handed"]
    stamps, times = np.array(handed, np.int64).reshape(-1, 2).T
    # How many newer frames wait by then. The camera's stamps rise, so both columns do.
    newer = [
        np.searchsorted(times, record.time_ns)
        - np.searchsorted(stamps, record.stamp_ns, side="right")
        for record in started
    ]
    ready: dict[int, int] = {}
    publishing = []
    for event in kept:
        if event.event == "ready":
            ready[event.stamp_ns] = event.time_ns
        elif event.event == "published" and event.stamp_ns in ready:
            publishing.append((event.time_ns - ready.pop(event.stamp_ns)) / 1e9)
    ages = [((e.time_ns - begin) / 1e9, (e.time_ns - e.stamp_ns) / 1e9) for e in started]
    looks = [((time_ns - begin) / 1e9, size) for time_ns, size in memory if time_ns >= begin]
    return Measured(
        callbacks={
            name: np.array([event.seconds for event in kept if event.name == name])
            for name in sorted({event.name for event in kept if event.event == "callback"})
        },
        started=np.array(ages, np.float64).reshape(-1, 2),
        newer=np.maximum(np.array(newer, np.int64), 0),
        waiting=((times - stamps) / 1e9)[times >= begin],
        publishing=np.array(publishing),
        memory=np.array(looks, np.float64).reshape(-1, 2),
    )


class Figure(NamedTuple):
    """One measured value, and the limit that it must not pass; None where it is only told."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def within(self) -> bool:
        return self.limit is None or self.value <= self.limit  # NaN, nothing measured, is not


def growth(memory: Floats) -> float:
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
    return [
        Figure("frames a second", len(waiting) / measured.seconds, "Hz"),
        Figure("captioned frames a second", len(age) / measured.seconds, "Hz"),
        Figure(f"age of a frame {matched}, p99", _quantile(waiting, 0.99), "ms"),
        Figure(f"age of a frame {starting}, p99", _quantile(age, 0.99), "ms", oldest),
        Figure(f"age of a frame {starting}, most", _quantile(age, 1.0), "ms"),
        Figure("newer frames that waited by then, most", _quantile(measured.newer, 1.0), "frames"),
        *(
            Figure(f"callback {name}, p99", _quantile(1e3 * values, 0.99), "ms", _CALLBACK_MS)
            for name, values in measured.callbacks.items()
        ),
        Figure(
            "captions ready to published, p95", _quantile(publishing, 0.95), "ms", _PUBLISHING_MS
        ),
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


def _quantile(values: Floats | NDArray[np.int64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def plot_load(measured: Measured, rate: float, path: Path) -> None:
    """Write four plots as one PNG. rate: of the camera [Hz]."""
    figure = new_figure(13, 8)
    (ages, memory), (callbacks, publishing) = figure.subplots(2, 2)
    matched = 1e3 * _quantile(measured.waiting, 0.99)
    ages.scatter(*(measured.started * (1, 1e3)).T, s=6, color=BLUE)
    ages.axhline(matched, color=GREY, label="matched and looked at, p99")
    ages.axhline(matched + 1e3 / rate, **LIMIT, label="and one frame interval later")
    title = "Age of the captioned frames when their captioning starts"
    finish(ages, xlabel="time [s]", ylabel="age [ms]", ylim=(0, None), title=title)

    memory.plot(*measured.memory.T, color=BLUE, linewidth=1.2)
    memory.axvspan(0, _MINUTE_S, color="#eeeeee", label="the first minute")
    low, high = measured.memory[:, 1].min(), measured.memory[:, 1].max()
    limits = (low - 0.05 * high, high + 0.05 * high)
    title = f"Resident memory of the node: {growth(measured.memory):+.2f} %"
    finish(memory, xlabel="time [s]", ylabel="memory [MB]", ylim=limits, title=title)

    _plot_shares(callbacks, "callbacks", measured.callbacks, _CALLBACK_MS, 99)
    publications = {"from captions that are ready to their publication": measured.publishing}
    _plot_shares(publishing, "publications", publications, _PUBLISHING_MS, 95)
    figure.suptitle(
        f"{measured.seconds:.0f} s of 1280x720 at {rate:.0f} Hz, {len(measured.started)} of "
        f"{len(measured.waiting)} frames captioned, the newest each time",
        fontsize=13,
    )
    figure.savefig(path, dpi=110)


def _plot_shares(
    axes: Axes, what: str, times: dict[str, Floats], limit_ms: float, percentile: int
) -> None:
    """What share took longer than a time, on logarithmic axes with a limit for a percentile."""
    for (name, seconds), colour in zip(times.items(), (BLUE, ORANGE, GREEN, GREY), strict=False):
        if len(seconds):
            axes.ecdf(1e3 * seconds, complementary=True, color=colour, label=name)
    axes.axvline(limit_ms, **LIMIT, label=f"limit of p{percentile}")
    axes.axhline(1 - percentile / 100, color=GREY, linewidth=0.7, linestyle=":")
    axes.set(xscale="log", yscale="log", xlim=(0.01, 30), ylim=(2e-4, 1))
    title = f"Share of {what} that take longer"
    finish(axes, xlabel="time [ms]", ylabel="share", title=title)
