"""Bars and histograms in the colours of an evaluation's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

RIGHT, WRONG, PLAIN, QUIET = "#2a7f62", "#c8553d", "#33658a", "#8d99ae"


def bars(
    axes: Axes,
    figures: Mapping[str, Any],
    names: Sequence[str],
    titles: Sequence[str],
    colours: Sequence[str] | None = None,
) -> None:
    known = [place for place, name in enumerate(names) if figures[name]["value"] is not None]
    values = [figures[names[place]]["value"] for place in known]
    if not known:
        return
    low = [v - (figures[names[p]]["low"] or v) for p, v in zip(known, values, strict=True)]
    high = [(figures[names[p]]["high"] or v) - v for p, v in zip(known, values, strict=True)]
    chosen = [colours[place] for place in known] if colours else PLAIN
    axes.bar(range(len(known)), values, color=chosen, yerr=[low, high], capsize=4, width=0.6)
    for place, (value, above) in enumerate(zip(values, high, strict=True)):
        axes.annotate(
            f"{value:.2f}", (place, value + above), (0, 3), textcoords="offset points", ha="center"
        )
    axes.set_xticks(range(len(known)), [titles[place] for place in known])


def stacked(axes: Axes, bins: Any, series: Sequence[tuple[str, Sequence[float], str]]) -> None:
    there = [
        (f"{name} ({len(values)})", values, colour) for name, values, colour in series if values
    ]
    axes.hist(
        [values for _, values, _ in there],
        bins=bins,
        stacked=True,
        label=[name for name, _, _ in there],
        color=[colour for _, _, colour in there],
    )
    axes.legend(frameon=False)
