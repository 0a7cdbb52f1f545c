"""The chart of cascades: error against price, as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.stats import charts

_STYLES = {
    "random": (charts.QUIET, "--", "random routing"),
    "cascade": (charts.MAIN, "-", "cascade"),
}


@charts.styled
def draw_cascades(studies: Sequence[dict[str, Any]], path: Path) -> str:
    """One panel for each study; returns the file's name."""
    figure = Figure(figsize=(1 + 5 * len(studies), 4.6), layout="constrained")
    panels = figure.subplots(1, len(studies), squeeze=False)[0]
    for axes, study in zip(panels, studies, strict=True):
        _draw(axes, study["routes"], study["best"]["price"])
        axes.set(title=study["judges"], xlabel="price of a pair, share of the best judge's")
        axes.set_xscale("log")
        charts.unit_axis(axes.yaxis, "share")
    panels[0].set_ylabel("wrong labels")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    path.write_bytes(charts.encoded(figure, "png", 110))
    return path.name


def _draw(axes: Axes, routes: Sequence[dict[str, Any]], whole: float) -> None:
    for kind, (colour, style, label) in _STYLES.items():
        front = _frontier([each for each in routes if each["kind"] == kind])
        x, y = [each["price"] / whole for each in front], [each["error"] for each in front]
        axes.plot(x, y, style, color=colour, label=label)
    single = [each for each in routes if each["kind"] == "alone"]
    x, y = [each["price"] / whole for each in single], [each["error"] for each in single]
    axes.plot(x, y, "o", color=charts.WRONG, label="one judge alone")
    axes.set_ylim(bottom=0)


def _frontier(routes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each price the route with the least error that costs no more."""
    best, least = [], 1.0
    for route in sorted(routes, key=lambda each: (each["price"], each["error"])):
        if route["error"] < least:
            least = route["error"]
            best.append(route)
    return best
