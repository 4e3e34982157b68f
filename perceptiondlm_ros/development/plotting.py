"""Figures of measurements in one style. Matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, RED = "#1f5fa8", "#c9511f", "#3a7d2c", "#7a7a7a", "#b3261e"

LIMIT: Final[dict[str, Any]] = {"color": RED, "linestyle": "--", "linewidth": 1.2}
"""How a line is drawn that a value must not pass."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def finish(axes: Axes, **properties: Any) -> None:
    """Set properties such as labels and title, and draw a grid, and a legend of what has a name."""
    axes.set(**properties)
    axes.grid(alpha=0.3)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="best", fontsize=9)
