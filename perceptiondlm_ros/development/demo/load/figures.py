"""What the records of a run say, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.development.demo.load.records import Record

SETTLING_S: Final = 2.0
"""Left out at the start: the first frames meet a node that still finds its publishers."""

MINUTE_S: Final = 60.0


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


@dataclass(frozen=True)
class Measured:
    """The samples behind the figures. Times are in seconds since the start of the measurement.

    callbacks: name → seconds that each call took.
    started: float64 [N, 2], for each captioned frame when its captioning started, and its age then.
    newer: int64 [N], how many newer frames waited for the model by then.
    waiting: float64 [H], ages of all frames when they were matched, looked at, and waited for the
        model [s].
    publishing: seconds from captions that are ready to their publication, for each pass.
    frames: stamps of the captioned frames in their order [ns].
    memory: float64 [M, 2], when it was looked at, and the resident memory of the node [MB].
    """

    callbacks: dict[str, NDArray[np.float64]]
    started: NDArray[np.float64]
    newer: NDArray[np.int64]
    waiting: NDArray[np.float64]
    publishing: NDArray[np.float64]
    frames: list[int]
    memory: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        return float(self.memory[-1, 0]) if len(self.memory) else 0.0


def measure(records: Iterable[Record], memory: Sequence[tuple[int, float]]) -> Measured:
    """memory: when it was looked at [ns], and what was resident [MB]."""
    records = list(records)
    first = min((r.time_ns for r in records if r.event == "started"), default=0)
    begin = first + round(SETTLING_S * 1e9)
    kept = [r for r in records if r.time_ns >= begin]
    callbacks: dict[str, list[float]] = {}
    for record in kept:
        if record.event == "callback":
            callbacks.setdefault(record.name, []).append(record.seconds)
    handed = np.array(
        [(r.stamp_ns, r.time_ns) for r in records if r.event == "handed"], np.int64
    ).reshape(-1, 2)
    started = [r for r in kept if r.event == "started"]
    looks = [((time_ns - begin) / 1e9, size) for time_ns, size in memory if time_ns >= begin]
    return Measured(
        callbacks={name: np.array(values) for name, values in sorted(callbacks.items())},
        started=np.array(
            [((r.time_ns - begin) / 1e9, (r.time_ns - r.stamp_ns) / 1e9) for r in started],
            np.float64,
        ).reshape(-1, 2),
        newer=np.array([_newer(r, handed) for r in started], np.int64),
        waiting=np.array([(t - s) / 1e9 for s, t in handed if t >= begin], np.float64),
        publishing=np.array([r.seconds for r in kept if r.event == "published"]),
        frames=[r.stamp_ns for r in started],
        memory=np.array(looks, np.float64).reshape(-1, 2),
    )


def growth(memory: NDArray[np.float64]) -> float:
    """Percent from the second minute (of a shorter run: the second quarter) to the last stretch.

    Medians of stretches, as a single look catches a frame more or less in flight.
    """
    if len(memory) < 8:
        return float("nan")
    times, sizes = memory.T
    end = times[-1]
    start, width = (MINUTE_S, MINUTE_S) if end >= 3 * MINUTE_S else (end / 4, end / 4)
    early = sizes[(times >= start) & (times < start + width)]
    late = sizes[times > end - width]
    return float(100 * (np.median(late) / np.median(early) - 1))


def figures(measured: Measured, rate: float) -> list[Figure]:
    """rate: of the camera [Hz]."""
    age, waiting = 1e3 * measured.started[:, 1], 1e3 * measured.waiting
    publishing = 1e3 * measured.publishing
    after = "after the first minute" if measured.seconds >= 3 * MINUTE_S else "of a short run"
    # A frame is captioned at the latest when the next one is there.
    oldest = 1e3 / rate + _quantile(waiting, 0.99)
    starting = "age of a frame when its captioning starts"
    every = [
        Figure("frames a second", len(waiting) / measured.seconds, "Hz"),
        Figure("captioned frames a second", len(age) / measured.seconds, "Hz"),
        Figure("age of a frame once matched and looked at, p50", _quantile(waiting, 0.5), "ms"),
        Figure("age of a frame once matched and looked at, p99", _quantile(waiting, 0.99), "ms"),
        Figure(f"{starting}, p50", _quantile(age, 0.5), "ms"),
        Figure(f"{starting}, p99", _quantile(age, 0.99), "ms", oldest),
        Figure(f"{starting}, most", _quantile(age, 1.0), "ms"),
        Figure("newer frames that waited by then, most", _quantile(measured.newer, 1.0), "frames"),
    ]
    for name, values in measured.callbacks.items():
        every.append(Figure(f"callback {name}, p99", _quantile(1e3 * values, 0.99), "ms", 5.0))
    return every + [
        Figure("captions ready to published, p50", _quantile(publishing, 0.5), "ms"),
        Figure("captions ready to published, p95", _quantile(publishing, 0.95), "ms", 3.0),
        Figure("resident memory at the end", _last(measured.memory), "MB"),
        Figure(f"growth of memory {after}", growth(measured.memory), "%", 2.0),
    ]


def table(every: Sequence[Figure]) -> list[str]:
    """Lines for people: each figure with its limit and whether it holds."""
    width = max(len(figure.name) for figure in every)
    lines = []
    for figure in every:
        line = f"{figure.name:<{width}}  {figure.value:9.2f} {figure.unit}"
        if figure.limit is not None:
            line = f"{line:<{width + 20}}at most {figure.limit:5.2f}  "
            line += "✓" if figure.within else "✗"
        lines.append(line)
    return lines


def _newer(record: Record, handed: NDArray[np.int64]) -> int:
    """The camera's stamps rise, so both columns do."""
    by_then = np.searchsorted(handed[:, 1], record.time_ns)
    up_to_it = np.searchsorted(handed[:, 0], record.stamp_ns, side="right")
    return max(int(by_then - up_to_it), 0)


def _quantile(values: NDArray[np.float64] | NDArray[np.int64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _last(memory: NDArray[np.float64]) -> float:
    return float(np.median(memory[-5:, 1])) if len(memory) else float("nan")
