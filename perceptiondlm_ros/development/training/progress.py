"""What a training run has seen so far, in words and as a plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Row = tuple[int, float, float, float, float]
"""Step, minutes, loss, accuracy on masked tokens, learning rate."""

_RECENT = 50


class History:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, step: int, minutes: float, loss: float, accuracy: float, rate: float) -> None:
        self.rows.append((step, minutes, loss, accuracy, rate))

    def latest(self) -> str:
        """Loss and accuracy, averaged over the last steps."""
        loss, accuracy = np.mean([row[2:4] for row in self.rows[-_RECENT:]], axis=0)
        return f"loss {loss:.3f}, accuracy {accuracy:.1%}"

    def plot(self, path: Path) -> None:
        """Write loss and accuracy against minutes as PNG."""
        from matplotlib.figure import Figure

        _, minutes, loss, accuracy, rate = np.array(self.rows).T
        figure = Figure(figsize=(9, 5), layout="constrained")
        left = figure.subplots()
        right = left.twinx()
        left.plot(minutes, loss, color="#b8cbe6", linewidth=0.5)
        (a,) = left.plot(minutes, _smooth(loss), color="#1f5fa8", label="loss a token")
        (b,) = right.plot(
            minutes, 100 * _smooth(accuracy), color="#c9511f", label="accuracy on masked tokens"
        )
        left.set(xlabel="minutes of training", ylabel="loss a token", yscale="log")
        right.set(ylabel="accuracy, %", ylim=(0, 100))
        left.grid(alpha=0.3)
        left.legend(handles=[a, b], loc="center right")
        left.set_title(f"{len(minutes)} steps, highest learning rate {rate.max():.1e}")
        figure.savefig(path, dpi=120)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over the last steps at each step."""
    sums = np.cumsum(np.concatenate(([0.0], values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - _RECENT, 0)
    smoothed: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return smoothed
