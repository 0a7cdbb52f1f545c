"""Bars and histograms in the colours of an evaluation's figures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import judged_outcomes as say
from pipeline.evaluation.judged_outcomes import LABELS
from pipeline.evaluation.report_text import title_of
from pipeline.stats.rank_agreement import ranking_distance
from schemas.pairs import GOLD_VALUES

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


PLOT_FORMATS = ("png", "svg")
_DPI = 150
Draw = Callable[[Axes, Mapping[str, Any], Sequence[JudgedPair]], None]


def draw_all(report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> dict[str, Figure]:
    """Every figure that the report and its pairs have something for, by name."""
    wanted: dict[str, Draw] = {"votes": _votes}
    if report["family"] == "pair":
        wanted |= {
            "confusion": _confusion,
            "calibration": _calibration,
            "risk_coverage": _risk_coverage,
            "margin": _margin,
            "confidence": _confidence,
            "bias": _bias,
        }
    elif report["family"] == "score":
        wanted |= {"scores": _scores}
    else:
        wanted |= {"rankings": _rankings}
    if report["controls"]:
        wanted |= {"controls": _controls}
    found = {}
    for name, draw in wanted.items():
        figure = Figure(figsize=(6, 4), layout="constrained", dpi=_DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, report, rows)
        if axes.has_data():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for every file
            found[name] = figure
    return found


def encoded(figure: Figure, format_: str) -> bytes:
    """A figure as a file."""
    buffer = io.BytesIO()
    # Without a date, the same figure is the same file.
    metadata = {"Date": None} if format_ == "svg" else None
    figure.savefig(buffer, format=format_, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


def _confusion(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    counts = np.array(report["curves"]["confusion"])
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        colour = "white" if shares[i, j] > 0.55 else "black"
        text = f"{count}\n{shares[i, j]:.0%}" if count else "0"
        axes.text(j, i, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(GOLD_VALUES)), GOLD_VALUES)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel="label", ylabel="gold", title="Labels by gold (share of each row)")


def _calibration(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    curve = report["curves"].get("calibration")
    if not curve:
        return
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", label="perfect")
    sizes = 20 + 280 * np.array(curve["pairs"]) / max(curve["pairs"])
    axes.plot(curve["stated"], curve["observed"], color=PLAIN)
    axes.scatter(curve["stated"], curve["observed"], s=sizes, color=PLAIN, alpha=0.6)
    for x, y, count in zip(curve["stated"], curve["observed"], curve["pairs"], strict=True):
        axes.annotate(
            f"{count}",
            (x, y),
            (-9, -9) if x > 0.9 else (9, -9),
            textcoords="offset points",
            ha="right" if x > 0.9 else "left",
            va="top",
        )
    kind = "calibrated" if report["judge"]["calibrated_on"] else "share of votes, not calibrated"
    axes.set(
        xlim=(-0.05, 1.05),
        ylim=(-0.05, 1.05),
        xlabel=f"stated probability of a ({kind})",
        ylabel="observed share of a, ties one half",
        title="Calibration (pairs in each bin)",
    )
    axes.legend(frameon=False, loc="upper left")


def _risk_coverage(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    curve = report["curves"].get("risk_coverage")
    if not curve:
        return
    axes.step(curve["coverage"], curve["risk"], where="pre", color=PLAIN)
    axes.plot(curve["coverage"], curve["risk"], "o", color=PLAIN, markersize=4)
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, max(0.05, 1.15 * max(curve["risk"]))),
        xlabel="coverage: share of all pairs labelled or tied, most confident first",
        ylabel="share of these that is wrong",
        title="Risk and coverage by confidence",
    )


def _margin(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    sided = [row for row in rows if row.label["margin"] is not None and row.pair["gold"] != "tie"]
    values = [(1 if row.pair["gold"] == "a" else -1) * row.label["margin"] for row in sided]
    tied = [
        row.label["margin"]
        for row in rows
        if row.label["margin"] is not None and row.pair["gold"] == "tie"
    ]
    if not values and not tied:
        return
    most = max(1.0, *map(abs, [*values, *tied]))
    bins = np.linspace(-most, most, 22)  # an even number: one bin is centred on 0
    stacked(axes, bins, [("gold has a better one", values, PLAIN), ("gold tie", tied, QUIET)])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(
        xlabel="mean score of gold's better one less the other's (of a less b for ties)",
        ylabel="pairs",
        title="Margins: right of 0 agrees with gold",
    )


def _confidence(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    known = [row for row in rows if row.label["confidence"] is not None]
    groups = {
        "right": [r for r in known if say.right(r)],
        "wrong": [r for r in known if not say.right(r) and say.label_of(r) in GOLD_VALUES],
        "abstained": [r for r in known if say.label_of(r) == "abstained"],
    }
    if not known:
        return
    colours = {"right": RIGHT, "wrong": WRONG, "abstained": QUIET}
    bins = np.linspace(min(0.5, *(row.label["confidence"] for row in known)), 1, 21)
    series = [
        (name, [row.label["confidence"] for row in group], colours[name])
        for name, group in groups.items()
    ]
    stacked(axes, bins, series)
    axes.set(xlabel="confidence", ylabel="pairs", title="Confidence of labels")


def _bias(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    names = {
        "first_slot": "first-slot\nwin rate",
        "longer_wins": "longer text\nwins",
        "gold_longer_wins": "longer text\nwins, by gold",
        "position_consistent": "position-\nconsistent",
        "repeat_flips": "repeat-flip\nrate",
    }
    there = {name: title for name, title in names.items() if name in report["overall"]}
    bars(axes, report["overall"], list(there), list(there.values()))
    axes.axhline(0.5, color=QUIET, linestyle="--", linewidth=1)
    axes.set(ylim=(0, 1.12), ylabel="share", title="Position, length and repetition")


def _votes(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    counts = Counter(row.label["n_votes"] for row in rows)
    numbers = range(max(counts) + 1)
    bars = axes.bar(list(numbers), [counts[number] for number in numbers], color=PLAIN)
    axes.bar_label(bars, [str(counts[n]) if counts[n] else "" for n in numbers], padding=2)
    axes.set_xticks(list(numbers))
    axes.margins(y=0.12)
    axes.set(xlabel="votes", ylabel="pairs", title="Votes a pair")


def _scores(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    by_human: dict[float, list[float]] = {}
    for row in rows:
        if row.label["scores"]:
            by_human.setdefault(row.pair["gold_scores"][0], []).append(row.label["scores"][0])
    if not by_human:
        return
    humans = sorted(by_human)
    axes.boxplot(
        [by_human[human] for human in humans],
        positions=humans,
        widths=0.4,
        medianprops={"color": PLAIN},
    )
    axes.plot(humans, humans, color=QUIET, linestyle="--", label="equal")
    axes.set_xticks(humans, [f"{human:g}\n({len(by_human[human])})" for human in humans])
    axes.legend(frameon=False, loc="upper left")
    axes.set(xlabel="human's score (pairs)", ylabel="judge's mean score", title="Scores")


def _rankings(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    values = [ranking_distance(row.label["scores"], row.pair["gold_scores"]) for row in rows]
    axes.hist(values, bins=list(np.linspace(-0.05, 1.05, 12)), color=PLAIN, rwidth=0.9)
    title = "Distance of the judge's ranking from a human's"
    axes.set(xlabel="normalised edit distance", ylabel="rows", title=title)


def _controls(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    figures: dict[str, Any] = {}
    titles, colours = [], []
    for control in report["controls"]:
        for name, estimate in control["figures"].items():
            if name.endswith("_difference") or "decided" in name:
                continue
            figures[f"{control['control']} {name}"] = estimate
            word = name.rpartition("_")[2]
            titles.append(f"{control['control'].replace('-', chr(10))}\n{word}")
            colours.append(RIGHT if word == "true" else WRONG if word == "control" else PLAIN)
    bars(axes, figures, list(figures), titles, colours)
    axes.tick_params(axis="x", labelsize=8)
    first = next(iter(report["controls"][0]["figures"])).removesuffix("_true")
    axes.set(ylim=(0, 1.12), title="Controls", ylabel=title_of(first)[0].partition(",")[0])
