"""The charts of benchmarks, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.stats import charts
from pipeline.stats.charts import MAIN, QUIET, WRONG

_DPI = 110
_STAGES = {
    "prepare": "prepare: fetch, decode, lay out (a pair)",
    "engine": "engine: one reply (both orders at once)",
    "commit": "commit: write the part (a unit)",
}


@charts.styled
def draw_pipeline(figures: Mapping[str, Any], folder: Path) -> list[str]:
    """Throughput over time, and where a pair's time goes; returns the files' names."""
    panels = [_throughput, *(_WATCHED[name] for name in _WATCHED if figures[name])]
    figure = _figure(8, 1 + 2 * len(panels))
    heights = [3, *[2] * (len(panels) - 1)]
    all_axes = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, draw in zip(all_axes[:, 0], panels, strict=True):
        draw(axes, figures)
    all_axes[-1, 0].set(xlabel="seconds since the first label")
    names = [_saved(figure, folder / "pipeline_throughput.png")]
    if not any(figures["pair_s"].values()):  # Ray exports no metrics here
        return names
    figure = _figure(8, 2.6)
    _waterfall(figure.subplots(), figures["pair_s"])
    return [*names, _saved(figure, folder / "pipeline_waterfall.png")]


@charts.styled
def draw_scaling(figures: Mapping[str, Any], folder: Path) -> list[str]:
    """Pairs a second by engines, and the pool as its backlog grows and shrinks."""
    figure = _figure(11, 4)
    rates, pool = figure.subplots(1, 2)
    rows = figures["rows"]
    counts = [row["engines"] for row in rows]
    rates.plot(counts, [row["linear_pairs_per_s"] for row in rows], "--", color=QUIET,
               label="linear")  # fmt: skip
    rates.plot(counts, [row["steady_pairs_per_s"] for row in rows], "o-", color=MAIN,
               label="steady")  # fmt: skip
    rates.set(xlabel="engines that only wait", ylabel="pairs/s", xlim=0, ylim=0)
    rates.legend()
    pool.step(*zip(*figures["autoscaling"]["changes_at_s"], strict=True), where="post",
              color=MAIN)  # fmt: skip
    charts.unit_axis(pool.yaxis, "count")
    pool.set(xlabel="seconds", ylabel="workers alive", ylim=0, title="autoscaling")
    return [_saved(figure, folder / "scaling.png")]


def _throughput(axes: Axes, figures: Mapping[str, Any]) -> None:
    seconds: Sequence[int] = figures["labels_by_second"]
    axes.step(range(len(seconds)), seconds, where="post", color=MAIN, label="labels, the whole job")
    bare, job, *peers = figures["rows"]
    styles = [(bare, WRONG, "--"), (job, MAIN, ":"), *((peer, QUIET, "-.") for peer in peers)]
    for row, colour, style in styles:
        rate = row["steady_judgments_per_s"] * row["pairs_per_s"] / row["judgments_per_s"]
        axes.axhline(rate, color=colour, linestyle=style, label=f"{row['side']}, steady")
    axes.set(ylabel="pairs/s", ylim=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def _owed(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.step(*zip(*figures["in_flight"], strict=True), where="post", color=WRONG)
    axes.set(ylabel="replies owed\nby the engine", ylim=0)


def _gpu(axes: Axes, figures: Mapping[str, Any]) -> None:
    """How busy the GPU was, and its power, which shows more: one kernel is enough to be busy."""
    seconds, busy, watts = zip(*figures["gpu"], strict=True)
    axes.step(seconds, [100 * share for share in busy], where="post", color=MAIN)
    axes.set(ylabel="GPU busy, %", ylim=(0, 105))
    power = axes.twinx()
    power.step(seconds, watts, where="post", color=QUIET)
    power.set(ylim=0)
    power.set_ylabel("watts", color=QUIET)


_WATCHED = {"in_flight": _owed, "gpu": _gpu}


def _waterfall(axes: Axes, seconds: Mapping[str, float]) -> None:
    begun = 0.0
    for place, stage in enumerate(_STAGES):
        took = seconds[stage]
        axes.barh(place, took, left=begun, color=WRONG if stage == "engine" else MAIN)
        axes.annotate(f"{took:.3f} s", (begun + took, place), (4, 0), textcoords="offset points",
                      va="center")  # fmt: skip
        begun += took
    axes.set_yticks(range(len(_STAGES)), list(_STAGES.values()))
    axes.invert_yaxis()
    axes.set(xlabel="seconds, means", xlim=(0, begun * 1.12))


def _figure(wide: float, tall: float) -> Figure:
    return Figure(figsize=(wide, tall), layout="constrained")


def _saved(figure: Figure, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(charts.encoded(figure, "png", _DPI))
    return path.name
