"""The charts of an evaluation, as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.evaluation.measure_titles import title_of
from pipeline.stats import charts
from pipeline.stats.rank_agreement import ranking_distance
from pipeline.stats.shown_numbers import Point
from schemas.pairs import GOLD_VALUES
from schemas.quality import AGREEMENT_LABELS

PLOT_FORMATS = ("png", "svg")
_DPI = 150
_UNDECIDED = "#8d99ae"
_CONTROL_COLOURS = {"true": charts.RIGHT, "control": charts.WRONG}
Draw = Callable[[Axes, Mapping[str, Any], Sequence[JudgedPair]], None]


@charts.styled
def evaluation_plots(report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> dict[str, bytes]:
    """Every chart that the report and its pairs have something for, by file name."""
    drawn = {"votes": _votes, **_OF_FAMILY[report["family"]]}
    if report["controls"]:
        drawn["controls"] = _controls
    if report["probes"]:
        drawn["probes"] = _probes
    found = {}
    for name, draw in drawn.items():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, report, rows)
        if axes.has_data():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for every file
            for format_ in PLOT_FORMATS:
                found[f"{name}.{format_}"] = charts.encoded(figure, format_, _DPI)
    return found


def _votes(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    counts = Counter(row.label["n_votes"] for row in rows)
    charts.columns(axes, [counts[votes] for votes in range(max(counts) + 1)])
    axes.set(xlabel="votes", ylabel="pairs", title="Votes a pair")


def _confusion(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    counts = np.array(report["curves"]["confusion"])
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        colour = charts.PAGE if shares[i, j] > 0.55 else charts.INK
        text = f"{count}\n{shares[i, j]:.0%}" if count else "0"
        axes.text(j, i, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(AGREEMENT_LABELS)), AGREEMENT_LABELS)
    axes.set_yticks(range(len(GOLD_VALUES)), GOLD_VALUES)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="label", ylabel="gold", title="Labels by gold (share of each row)")


def _calibration(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    if not (curve := report["curves"].get("calibration")):
        return
    charts.calibration(axes, curve["stated"], curve["observed"], curve["pairs"])
    for x, y, count in zip(curve["stated"], curve["observed"], curve["pairs"], strict=True):
        shift, side = ((-9, -9), "right") if x > 0.9 else ((9, -9), "left")
        axes.annotate(f"{count}", (x, y), shift, textcoords="offset points", ha=side, va="top")
    kind = "calibrated" if report["judge"]["calibrated_on"] else "share of votes, not calibrated"
    axes.set(
        xlabel=f"stated probability of a ({kind})",
        ylabel="observed share of a, ties one half",
        title="Calibration (pairs in each bin)",
    )
    axes.legend(loc="upper left")


def _risk_coverage(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    if not (curve := report["curves"].get("risk_coverage")):
        return
    axes.step(curve["coverage"], curve["risk"], "o-", where="pre", color=charts.MAIN, markersize=4)
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, max(0.05, 1.15 * max(curve["risk"]))),
        xlabel="coverage: share of all pairs labelled or tied, most confident first",
        ylabel="share of these that is wrong",
        title="Risk and coverage by confidence",
    )


def _margin(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    signs = {"a": 1, "b": -1, "tie": 1}
    known = [row for row in rows if row.label["margin"] is not None]
    margins = [(row.pair["gold"], signs[row.pair["gold"]] * row.label["margin"]) for row in known]
    if not margins:
        return
    most = max(1.0, *(abs(margin) for _, margin in margins))
    groups = {
        ("gold has a better one", charts.MAIN): [m for gold, m in margins if gold != "tie"],
        ("gold tie", _UNDECIDED): [m for gold, m in margins if gold == "tie"],
    }
    _stacked(axes, np.linspace(-most, most, 22), groups)  # 21 bins, one of them around 0
    axes.axvline(0, color=charts.INK, linewidth=0.8)
    axes.set(
        xlabel="mean score of gold's better one less the other's (of a less b for ties)",
        ylabel="pairs",
        title="Margins: right of 0 agrees with gold",
    )


def _confidence(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    known = [row for row in rows if row.label["confidence"] is not None]
    if not known:
        return
    groups: dict[tuple[str, str], list[float]] = {
        ("right", charts.RIGHT): [],
        ("wrong", charts.WRONG): [],
        ("abstained", _UNDECIDED): [],
    }
    right, wrong, abstained = groups.values()
    for row in known:
        label = pair_measures.label_of(row)
        group = right if pair_measures.right(row) else wrong if label in GOLD_VALUES else abstained
        group.append(row.label["confidence"])
    bins = np.linspace(min(0.5, *(row.label["confidence"] for row in known)), 1, 21)
    _stacked(axes, bins, groups)
    axes.set(xlabel="confidence", ylabel="pairs", title="Confidence of labels")


def _bias(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    names = {
        "first_slot": "first-slot win rate",
        "longer_wins": "longer text wins",
        "gold_longer_wins": "longer text wins, by gold",
        "position_consistent": "position-consistent",
        "repeat_flips": "repeat-flip rate",
    }
    figures = report["overall"]
    known = [_point(title, figures[name]) for name, title in names.items() if name in figures]
    charts.intervals(axes, known)
    axes.axvline(0.5, **charts.REFERENCE)
    axes.set(xlabel="share", title="Position, length and repetition")


def _scores(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    by_human: dict[float, list[float]] = {}
    for row in rows:
        if row.label["scores"]:
            by_human.setdefault(row.pair["gold_scores"][0], []).append(row.label["scores"][0])
    if not by_human:
        return
    humans = sorted(by_human)
    axes.boxplot([by_human[human] for human in humans], positions=humans, widths=0.4,
                 medianprops={"color": charts.MAIN})  # fmt: skip
    axes.plot(humans, humans, label="equal", **charts.REFERENCE)
    axes.set_xticks(humans, [f"{human:g}\n({len(by_human[human])})" for human in humans])
    axes.legend(loc="upper left")
    axes.set(xlabel="human's score (pairs)", ylabel="judge's mean score", title="Scores")


def _rankings(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    values = [ranking_distance(row.label["scores"], row.pair["gold_scores"]) for row in rows]
    axes.hist(values, bins=list(np.linspace(-0.05, 1.05, 12)), color=charts.MAIN, rwidth=0.9)
    title = "Distance of the judge's ranking from a human's"
    axes.set(xlabel="normalised edit distance", ylabel="rows", title=title)


def _controls(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    points, colours = [], []
    for control in report["controls"]:
        for name, estimate in control["figures"].items():
            word = name.rpartition("_")[2]
            if word != "difference" and "decided" not in name:
                points.append(_point(f"{control['control']}, {word}", estimate))
                colours.append(_CONTROL_COLOURS.get(word, charts.MAIN))
    first = next(iter(report["controls"][0]["figures"])).removesuffix("_true")
    title, unit = title_of(first)
    charts.intervals(axes, points, (), colours, "share" if unit == "share" else "number")
    axes.set(title="Controls", xlabel=title.partition(",")[0])


def _probes(axes: Axes, report: Mapping[str, Any], rows: Sequence[JudgedPair]) -> None:
    probes = report["probes"]["probes"]
    points = [_point(name, probe["effect"]) for name, probe in probes.items()]
    colours = [charts.WRONG if p["kind"] == "attack" else charts.RIGHT for p in probes.values()]
    charts.intervals(axes, points, (), colours)
    axes.axvline(0, **charts.REFERENCE)
    axes.set(title="Probes: success of attacks, gain of pictures", xlabel="share of pairs")


_OF_FAMILY: dict[str, dict[str, Draw]] = {
    "pair": {
        "confusion": _confusion,
        "calibration": _calibration,
        "risk_coverage": _risk_coverage,
        "margin": _margin,
        "confidence": _confidence,
        "bias": _bias,
    },
    "score": {"scores": _scores},
    "ranking": {"rankings": _rankings},
}


def _point(label: str, estimate: Mapping[str, Any]) -> Point:
    return Point(label, *(estimate[end] for end in ("value", "low", "high")))


def _stacked(axes: Axes, bins: Any, groups: Mapping[tuple[str, str], Sequence[float]]) -> None:
    """Histograms on top of each other; groups are named by a title and a colour."""
    known = {name: values for name, values in groups.items() if values}
    labels = [f"{title} ({len(values)})" for (title, _), values in known.items()]
    colours = [colour for _, colour in known]
    axes.hist([*known.values()], bins=bins, stacked=True, label=labels, color=colours)
    axes.legend()
