"""The charts of the vote study, accuracy against votes, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.lab.vote_study.study import AIM, CAPS, DEFAULTS, FIXED, REFERENCE, curve
from pipeline.stats import charts

_LIMIT = AIM * REFERENCE.most
_SCALE = DEFAULTS[0].votes.margin_scale
_COLOURS = {8: charts.MAIN, 16: charts.WRONG}
_SIMULATED = (
    "flips 10%",
    "flips 30%",
    "mixed 13.6%",
    "position 1",
    "scores, noise 1, own error 2",
    "scores, noise 2, own error 2",
)


@charts.styled
def draw_simulation(figures: dict[str, Any], path: Path) -> None:
    """Six populations: a fixed number of votes, adaptive ones, the bound and the aim."""
    bounds = {bound["population"]: bound["curve"] for bound in figures["bounds"]}
    figure = Figure(figsize=(15, 8.5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3).flat, _SIMULATED, strict=True):
        rows = [row for row in figures["rows"] if row["population"] == name]
        _draw(axes, rows, bounds.get(name))
        axes.set_title(name)
    _finish(figure, "Simulated judges: accuracy against votes")
    path.write_bytes(charts.encoded(figure, "png", 110))


@charts.styled
def draw_stored(rows: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """The stored votes of a real judge."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    _draw(axes, rows, None)
    _finish(figure, title)
    path.write_bytes(charts.encoded(figure, "png", 110))


def _draw(axes: Axes, rows: Sequence[dict[str, Any]], bound: list[list[float]] | None) -> None:
    by_name = {row["strategy"]: row for row in rows if row["method"] in ("exact", "stored")}
    fixed = [by_name[way.name] for way in FIXED]
    _line(axes, fixed, "k.-", "fixed number of votes (1 = one order)")
    for cap in CAPS:
        ways = [by_name[way.name] for way in curve(cap, _SCALE)]
        label = f"adaptive, cap {cap}, rising threshold"
        _line(axes, ways, "o--", label, color=_COLOURS[cap], markersize=4, alpha=0.7)
    for way, cap in zip(DEFAULTS, CAPS, strict=True):
        row = by_name[way.name]
        note = "the default" if cap == CAPS[0] else f"the default with cap {cap}"
        axes.plot(row["votes"], 100 * row["accuracy"], "*", markersize=15, color=_COLOURS[cap],
                  markeredgecolor="k", label=note, zorder=5)  # fmt: skip
    if bound is not None:
        best = [{"votes": votes, "accuracy": accuracy} for votes, accuracy in bound]
        _line(axes, best, ":", "best possible in rounds (knows the population)", color=charts.RIGHT)
    reference = by_name[REFERENCE.name]["accuracy"]
    axes.axhline(100 * reference, color=charts.QUIET, linewidth=0.8)
    axes.axvline(_LIMIT, color=charts.INK, linewidth=0.8, label=f"40 % of 8 votes ({_LIMIT:g})")
    axes.annotate("accuracy of fixed 8", (16.4, 100 * reference), ha="right", va="top",
                  fontsize=8, color=charts.QUIET)  # fmt: skip
    axes.set_xlim(0.5, 16.5)


def _line(axes: Axes, rows: Sequence[dict[str, Any]], style: str, label: str, **how: Any) -> None:
    votes, accuracy = [row["votes"] for row in rows], [100 * row["accuracy"] for row in rows]
    axes.plot(votes, accuracy, style, label=label, **how)


def _finish(figure: Figure, title: str) -> None:
    figure.suptitle(title)
    for axes in figure.axes:
        axes.set_xlabel("votes a pair (replies, unparseable ones included)")
        axes.set_ylabel("accuracy, undecided = ½ (%)")
        axes.grid(alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
