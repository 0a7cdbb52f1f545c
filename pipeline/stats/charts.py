"""The charts of the report, of evaluations and of the lab: one style, and the kinds they share."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from pipeline.stats.shown_numbers import Point, Unit, shown, tick_label

# A page gives each of these colours a light and a dark variant; shared charts use no other.
MAIN, QUIET, INK, GRID, PAGE = "#2b6cb0", "#55606c", "#1a1f26", "#d3dae2", "#ffffff"
RIGHT, WRONG = "#2a7f62", "#c8553d"
REFERENCE: dict[str, Any] = {"color": QUIET, "linestyle": "--", "linewidth": 1}
STYLE: Any = {  # rcParams
    "text.parse_math": False,  # a name or a price may contain dollar signs
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 1,
    "grid.color": GRID,
    "grid.linewidth": 1,
    "xtick.color": QUIET,
    "xtick.bottom": False,
    "xtick.major.pad": 6,
    "ytick.left": False,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "font.size": 11,
    "axes.titlesize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "svg.hashsalt": "pairmill",  # ids that do not change from run to run
}
styled = rc_context(STYLE)  # for functions that make or save figures


def encoded(figure: Figure, format_: str, dpi: int) -> bytes:
    """A figure as a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if format_ == "svg" else None
    figure.savefig(buffer, format=format_, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def unit_axis(axis: Any, unit: Unit, most: int = 5) -> None:
    """Gives an x or y axis at most so many round values, written in its unit."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=unit == "count"))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value, unit)))


def hinted(marks: Iterable[Artist], hints: Sequence[str]) -> None:
    """Gives each mark a text that a page shows under the pointer.

    It travels as the mark's URL, the one text that matplotlib writes for every kind of mark.
    """
    for mark, hint in zip(marks, hints, strict=bool(hints)):
        mark.set_url(hint)


def dots(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    sizes: ArrayLike,
    hints: Sequence[str] = (),
    colour: str = MAIN,
) -> None:
    """Dots of these areas, in square points."""
    drawn = axes.scatter(x, y, sizes, color=colour, edgecolors=PAGE, zorder=3, clip_on=False)
    # One more than there are dots: a single dot would be written as a marker, without its hint.
    drawn.set_urls([*hints, None])


def weighted_line(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    counts: Sequence[int],
    hints: Sequence[str] = (),
) -> None:
    """A line whose dots grow with ``counts``."""
    axes.plot(x, y, color=MAIN, linewidth=2)
    dots(axes, x, y, 20 + 90 * np.array(counts) / max(counts), hints)


def bins(
    axes: Axes, edges: Sequence[float], counts: Sequence[int], hints: Sequence[str] = ()
) -> None:
    """A histogram that has been counted."""
    widths = 0.96 * np.diff(edges)
    hinted(axes.bar(edges[:-1], counts, widths, align="edge", color=MAIN), hints)
    axes.set_xlim(edges[0], edges[-1])
    unit_axis(axes.yaxis, "count")


def columns(axes: Axes, counts: Sequence[int], hints: Sequence[str] = ()) -> None:
    """A column for each number from 0 on, the counts on top where there is room."""
    drawn = axes.bar(range(len(counts)), counts, 0.76, color=MAIN)
    hinted(drawn, hints)
    if len(counts) <= 9:
        axes.bar_label(drawn, [f"{count:,}" if count else "" for count in counts], padding=2)
    unit_axis(axes.xaxis, "count", 14)
    unit_axis(axes.yaxis, "count")
    axes.margins(y=0.15)


def rows(
    axes: Axes, names: Sequence[str], counts: Sequence[int], hints: Sequence[str] = ()
) -> None:
    """A horizontal bar for each name, its count at the end."""
    drawn = axes.barh(names, counts, 0.66, color=MAIN)
    hinted(drawn, hints)
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=5)
    axes.set(xticks=(), xlim=(0, 1.25 * max(counts)), ylim=(len(names) - 0.5, -0.5))
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)


def intervals(
    axes: Axes,
    points: Sequence[Point],
    hints: Sequence[str] = (),
    colours: Sequence[str] | None = None,
    unit: Unit = "share",
) -> None:
    """Values with their intervals, one below the other."""
    for row, point in enumerate(points):
        if point.value is None:
            axes.text(0.02, row, "nothing to measure it on", va="center", color=QUIET)
            continue
        low = point.value if point.low is None else point.low
        high = point.value if point.high is None else point.high
        colour = colours[row] if colours else MAIN
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        dots(axes, [point.value], [row], [64], hints[row : row + 1], colour)
        end, shift, side = (high, 8, "left") if high < 0.8 else (low, -8, "right")
        text, where = shown(point.value, unit), "offset points"
        axes.annotate(text, (end, row), (shift, 0), textcoords=where, ha=side, va="center")
    least = min((point.low for point in points if point.low is not None), default=0)
    axes.set(xlim=(min(0, least), 1), ylim=(len(points) - 0.5, -0.5))
    axes.set_yticks(range(len(points)), [point.label for point in points])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(False)
    unit_axis(axes.xaxis, unit)


def calibration(
    axes: Axes,
    stated: Sequence[float],
    observed: Sequence[float],
    counts: Sequence[int],
    hints: Sequence[str] = (),
) -> None:
    """Observed shares by stated probabilities, beside the diagonal on which they are equal."""
    axes.plot([0, 1], [0, 1], label="perfect", **REFERENCE)
    weighted_line(axes, stated, observed, counts, hints)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (axes.xaxis, axes.yaxis):
        unit_axis(axis, "share")
