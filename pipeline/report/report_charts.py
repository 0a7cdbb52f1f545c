"""The charts of a report: distributions, biases, calibration, and the course over the runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.inline_svg import inline_svg
from pipeline.stats import charts
from pipeline.stats.arrays import Floats
from pipeline.stats.intervals import share
from pipeline.stats.shown_numbers import Point, Unit, shown, tick_label, with_interval
from schemas.quality import Histogram, Quality, Rate

_LEAST_IN_BIN = 30  # pairs
_WIDTH, _LETTER = 360, 6.4  # pixels: of a chart, and about those of a letter at an axis
_BIASES = {
    "first_slot_wins": "shown first wins",
    "longer_wins": "longer text wins",
    "gold_longer_wins": "longer wins, humans",
    "preference_a": "prefers a",
}


@dataclass(frozen=True)
class Chart:
    """A chart with its title.

    Attributes:
        svg: None where there is nothing to show.
        text: what it shows; of an empty chart, why it is empty.
    """

    title: str
    svg: Markup | None
    text: str


@charts.styled
def distributions(quality: Quality) -> list[Chart]:
    """How labels and votes are distributed."""
    known = "calibrated" if quality.calibrated else "the share of votes: there is no calibration"
    wanted: tuple[tuple[str, str, str, str, Unit, str], ...] = (
        ("margin", "Margin", "pairs", "score of a less that of b", "number",
         "Mean score of a less mean score of b. A heap at 0 is ties and undecided pairs."),
        ("confidence", "Confidence", "rows", "confidence", "share",
         "That the label is right, as the votes have it."),
        ("p_a", "Probability that a is preferred", "pairs", "p(a)", "share", f"It is {known}."),
        ("votes_per_pair", "Votes per pair", "rows", "votes", "count",
         "Unparseable ones included."),
        ("output_tokens", "Length of replies", "votes", "tokens written", "number",
         "Each bin is twice as wide as the one before it."),
    )  # fmt: skip
    found = []
    for name, title, y, x, unit, text in wanted:
        histogram = quality.histograms[name]
        if not any(histogram.counts):
            found.append(Chart(title, None, "There are no values to show."))
        elif name == "votes_per_pair":
            found.append(Chart(title, _votes_per_pair(histogram, x, y), text))
        else:
            doubling = name == "output_tokens"
            found.append(Chart(title, _histogram(histogram, x, y, unit, doubling), text))
    return [*found, _reasons(quality.quarantined_by_reason)]


@charts.styled
def biases(quality: Quality) -> list[Chart]:
    """What decides beside the content: the order shown, and the length of the text."""
    points = [rate_point(label, quality.rates[name]) for name, label in _BIASES.items()]
    x, svg = "share, with its 95 % interval", None
    if any(point.value is not None for point in points):
        axes = _axes(176, x, " ", _BIASES.values())
        hints = [f"{point.label}: {with_interval(point)}" for point in points]
        charts.intervals(axes, points, hints)
        axes.axvline(0.5, **charts.REFERENCE)
        axes.text(0.5, -0.6, "no bias", ha="center", color=charts.QUIET)
        svg = inline_svg(axes, f"{x}: {'; '.join(hints)}")
    text = "50 % is no bias. Where humans prefer longer texts too, a judge that does is no worse."
    lengths = quality.histograms["length_ratio"], quality.histograms["length_ratio_a"]
    return [Chart("Position and length", svg, text), _by_length(*lengths)]


@charts.styled
def calibration_chart(quality: Quality, which: str) -> Chart:
    """Stated against observed probability, of ``gold`` or ``canary``."""
    agreement = quality.gold if which == "gold" else quality.canary
    if agreement is None or not agreement.counts:
        return Chart("Calibration", None, "No pair has both gold and a probability.")
    curve = agreement.stated, agreement.observed, agreement.counts
    hints = [
        f"stated {shown(p, 'share')}, observed {shown(q, 'share')}, {count:,} pairs"
        for p, q, count in zip(*curve, strict=True)
    ]
    axes = _axes(264, "stated probability that a is preferred", "humans prefer a")
    charts.calibration(axes, *curve, hints)
    kind = "calibrated" if quality.calibrated else "uncalibrated (pairmill calibrate fits it)"
    text = f"On the diagonal, what is stated is true. Larger dots are more pairs. p(a) is {kind}."
    return Chart("Calibration", inline_svg(axes, f"Calibration: {'; '.join(hints)}"), text)


@charts.styled
def trends(
    runs: Sequence[Mapping[str, Any]], wanted: Mapping[str, tuple[str, Unit]]
) -> list[Chart]:
    """The course of metrics over runs, oldest first; those that no run has are left out."""
    found, changes = [], changes_of_judge(runs)
    for name, (title, unit) in wanted.items():
        points = trend_points(runs, name)
        if any(point.value is not None for point in points):
            heading = title[0].upper() + title[1:]
            found.append(Chart(heading, _trend(title, points, changes, unit), ""))
    return found


def trend_points(runs: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    """One metric of each run."""
    ends = (name, f"{name}_low", f"{name}_high")
    return [Point(day_of(run), *(run.get(end) for end in ends)) for run in runs]


def changes_of_judge(runs: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which runs are the first of another judge; those without a judge do not count."""
    known = [(place, run["judge_id"]) for place, run in enumerate(runs) if run["judge_id"]]
    return [place for (_, before), (place, judge) in itertools.pairwise(known) if judge != before]


def day_of(run: Mapping[str, Any]) -> str:
    """When a run began, short."""
    started = str(run["started_at"] or run["run_id"])
    return started[5:16].replace("T", " ")


def rate_point(label: str, rate: Rate) -> Point:
    """A rate as a chart takes it."""
    return Point(label, rate.value, rate.low, rate.high)


def _axes(height: float, x: str, y: str, names: Iterable[str] = ()) -> Axes:
    """Axes with a title below and one above, and at the left room for numbers or ``names``."""
    left, right = 16 + _LETTER * max(map(len, names), default=5), 24
    top, bottom = 24 if y else 8, 40 if x else 24
    wide, tall = _WIDTH - left - right, height - top - bottom
    figure = Figure((_WIDTH / 72, height / 72), dpi=72)
    axes = figure.add_axes((left / _WIDTH, bottom / height, wide / _WIDTH, tall / height))
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y")
    axes.set_title(y, loc="left", color=charts.QUIET)
    axes.set_xlabel(x)
    return axes


def _histogram(histogram: Histogram, x: str, y: str, unit: Unit, doubling: bool) -> Markup:
    """Counts between edges; edges that double are drawn at equal distances, without empty ends."""
    edges, counts = histogram.edges, histogram.counts
    axes = _axes(200, x, y)
    if doubling:
        full = np.flatnonzero(counts)
        first, last = max(0, full[0] - 1), min(len(counts), full[-1] + 2)
        edges, counts = edges[first : last + 1], counts[first:last]
    hints = [
        f"{shown(start, unit)} to {shown(stop, unit)}: {count:,}"
        for (start, stop), count in zip(itertools.pairwise(edges), counts, strict=True)
    ]
    charts.bins(axes, range(len(edges)) if doubling else edges, counts, hints)
    if doubling:
        written = range(0, len(edges), -(-len(edges) // 8))
        axes.set_xticks(written, [tick_label(edges[place]) for place in written])
    else:
        charts.unit_axis(axes.xaxis, unit)
    most = max(counts)
    where = hints[counts.index(most)].rpartition(":")[0]
    words = f"{y} by {x}: {sum(counts):,} in all, most of them ({most:,}) from {where}"
    return inline_svg(axes, words)


def _votes_per_pair(histogram: Histogram, x: str, y: str) -> Markup:
    counts = histogram.counts[: int(np.flatnonzero(histogram.counts)[-1]) + 1]
    hints = [f"{votes}: {count:,}" for votes, count in enumerate(counts)]
    axes = _axes(200, x, y)
    charts.columns(axes, counts, hints)
    return inline_svg(axes, f"{y} by {x}: {', '.join(hints)}")


def _reasons(reasons: Mapping[str, int]) -> Chart:
    if not reasons:
        return Chart("Quarantine by reason", None, "No row is in quarantine.")
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    names, counts = [reason.replace("_", " ") for reason, _ in ordered], [n for _, n in ordered]
    hints = [f"{name}: {count:,}" for name, count in zip(names, counts, strict=True)]
    axes = _axes(32 + 24 * len(names), "", "", names)
    charts.rows(axes, names, counts, hints)
    svg = inline_svg(axes, f"rows in quarantine by reason: {', '.join(hints)}")
    return Chart("Quarantine by reason", svg, "Rows, by why they could not be labelled.")


def _by_length(pairs: Histogram, prefer_a: Histogram) -> Chart:
    """How often ``a`` is preferred by a's length over b's, whose edges multiply."""
    title, edges = "Preference by length", pairs.edges
    if sum(pairs.counts) < _LEAST_IN_BIN:
        few = f"Fewer than {_LEAST_IN_BIN} labelled pairs of texts of other lengths were sampled."
        return Chart(title, None, few)
    bins = wide_bins(pairs.counts, _LEAST_IN_BIN)
    counts = [sum(pairs.counts[start:stop]) for start, stop in bins]
    rates = [
        share(sum(prefer_a.counts[start:stop]), count)
        for (start, stop), count in zip(bins, counts, strict=True)
    ]
    hints = [
        f"{edges[start]:.2g} to {edges[stop]:.2g} times as long: "
        f"{with_interval(rate_point('', rate))} of {rate.n:,}"
        for (start, stop), rate in zip(bins, rates, strict=True)
    ]
    axes = _axes(200, "length of a's text / length of b's", "a is preferred")
    middles = [(start + stop) / 2 for start, stop in bins]
    values, low, high = np.array([(r.value, r.low, r.high) for r in rates], np.float64).T
    axes.vlines(middles, low, high, color=charts.MAIN, linewidth=1.5)
    charts.weighted_line(axes, middles, values, counts, hints)
    axes.axhline(0.5, **charts.REFERENCE)
    axes.set(xlim=(0, len(pairs.counts)), ylim=(0, 1))
    ratios = [f"{edge:.3g}\N{MULTIPLICATION SIGN}" for edge in edges[::4]]
    axes.set_xticks(range(0, len(edges), 4), ratios)
    charts.unit_axis(axes.yaxis, "share")
    text = (
        "How often a is preferred, by how long it is beside b, in bins of at least "
        f"{_LEAST_IN_BIN} pairs with 95 % intervals. A level line is no bias."
    )
    return Chart(title, inline_svg(axes, f"Preference for a by length: {'; '.join(hints)}"), text)


def wide_bins(counts: Sequence[int], least: int) -> list[tuple[int, int]]:
    """Neighbouring bins joined until each holds ``least`` values; what is left joins the last.

    Args:
        counts: of the bins; ``least`` in all or more.
        least: in a joined one.

    Returns:
        first and last bin (exclusive) of each joined one, empty ends left out.
    """
    full = np.flatnonzero(counts)
    first, end = int(full[0]), int(full[-1]) + 1
    found, start, held = list[tuple[int, int]](), first, 0
    for place in range(first, end):
        held += counts[place]
        if held >= least:
            found.append((start, place + 1))
            start, held = place + 1, 0
    last = found.pop()
    return [*found, (last[0], end)]


def _trend(title: str, points: Sequence[Point], changes: Sequence[int], unit: Unit) -> Markup:
    """A value over the runs, oldest first, with its interval as a band."""
    axes, last = _axes(138, "", ""), len(points) - 1
    ends = [(point.value, point.low, point.high) for point in points]
    values, low, high = np.array(ends, np.float64).T  # None becomes NaN, which is a gap
    known = np.flatnonzero(~np.isnan(values))
    for place in changes:
        axes.axvline(place - 0.5, **charts.REFERENCE)
    axes.fill_between(range(last + 1), low, high, color=charts.MAIN, alpha=0.2, linewidth=0)
    lone = [place for place in known if not {place - 1, place + 1} & {*known}]  # have no band
    for place in lone:
        axes.plot([place, place], [low[place], high[place]], color=charts.MAIN, linewidth=2)
    axes.plot(values, color=charts.MAIN, linewidth=2)
    hints = [f"{points[place].label}: {with_interval(points[place], unit)}" for place in known]
    charts.dots(axes, known, values[known], np.where(known == last, 40, 18), hints)
    axes.set(xlim=(-0.03 * max(1, last), 1.03 * max(1, last)))
    axes.set_ylim(*_limits(np.array([values, low, high]), unit))
    charts.unit_axis(axes.yaxis, unit, 4)
    outer = sorted({0, last})
    axes.set_xticks(outer, [points[place].label for place in outer])
    labels = axes.get_xticklabels()
    labels[-1].set_horizontalalignment("right")
    labels[0].set_horizontalalignment("left")
    ends_of = (points[known[0]], points[known[-1]])
    shown_ends = (f"{with_interval(point, unit)} on {point.label}" for point in ends_of)
    return inline_svg(axes, f"{title} over {len(points)} runs: {', '.join(shown_ends)}")


def _limits(values: Floats, unit: Unit) -> tuple[float, float]:
    """The ends of a trend's axis: shares stay within 0 and 1, amounts begin at 0."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.12 * (high - low) or (0.02 if unit == "share" else 0.1 * abs(high) or 1)
    if unit == "share":
        return max(0.0, low - room), min(1.0, high + room)
    return (0.0 if low >= 0 else low - room), high + room
