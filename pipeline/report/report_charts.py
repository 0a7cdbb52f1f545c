"""The figures of a report: distributions, biases, calibration, and the course over the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.report import svg_charts as charts
from pipeline.report.chart_scales import Point
from pipeline.report.report_words import SPEED, TRENDS
from schemas.quality import Histogram, Quality, Rate

_NOTHING = "There is nothing to draw it of."


@dataclass(frozen=True)
class Figure:
    """A figure with its title.

    Attributes:
        chart: None where there is nothing to draw.
        text: what it shows; of an empty figure, why it is empty.
    """

    title: str
    chart: Markup | None
    text: str


def distributions(quality: Quality) -> list[Figure]:
    """How labels and votes are distributed."""
    known = "calibrated" if quality.calibrated else "the share of votes: there is no calibration"
    return [
        _drawn(
            "Margin",
            quality.histograms["margin"],
            lambda h: charts.histogram(h.edges, h.counts, "score of a less that of b", "pairs"),
            "Mean score of a less mean score of b. A heap at 0 is ties and undecided pairs.",
        ),
        _drawn(
            "Confidence",
            quality.histograms["confidence"],
            lambda h: charts.histogram(h.edges, h.counts, "confidence", "rows", "share"),
            "That the label is right, as the votes have it.",
        ),
        _drawn(
            "Probability that a is preferred",
            quality.histograms["p_a"],
            lambda h: charts.histogram(h.edges, h.counts, "p(a)", "pairs", "share"),
            f"It is {known}.",
        ),
        _drawn(
            "Votes per pair",
            quality.histograms["votes_per_pair"],
            _votes_per_pair,
            "Unreadable ones included.",
        ),
        _drawn(
            "Length of replies",
            quality.histograms["output_tokens"],
            lambda h: charts.log_histogram(h.edges, h.counts, "tokens written", "votes"),
            "Each bin is twice as wide as the one before it.",
        ),
        _reasons(quality.quarantined_by_reason),
    ]


def biases(quality: Quality) -> list[Figure]:
    """What decides beside the content: the order shown, and the length of the text."""
    names = {
        "first_slot_wins": "shown first wins",
        "longer_wins": "longer text wins",
        "gold_longer_wins": "longer wins, humans",
        "preference_a": "prefers a",
    }
    points = [rate_point(label, quality.rates[name]) for name, label in names.items()]
    lengths = quality.histograms["length_ratio"], quality.histograms["length_ratio_a"]
    return [
        Figure(
            "Position and length",
            charts.intervals(points, "share, with its 95 % interval", even=0.5)
            if any(point.value is not None for point in points)
            else None,
            "50 % is no bias. Where humans prefer longer texts too, a judge that does is no worse.",
        ),
        _by_length(*lengths),
    ]


def calibration_figure(quality: Quality, which: str) -> Figure:
    """Stated against observed probability, of ``gold`` or ``canary``."""
    agreement = quality.gold if which == "gold" else quality.canary
    title = "Calibration"
    if agreement is None or not agreement.counts:
        return Figure(title, None, "No pair has both gold and a probability.")
    chart = charts.calibration(agreement.stated, agreement.observed, agreement.counts)
    kind = "calibrated" if quality.calibrated else "uncalibrated: jobs.calibrate fits it to gold"
    text = f"On the diagonal, what is stated is true. Larger dots are more pairs. p(a) is {kind}."
    return Figure(title, chart, text)


def trends(runs: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> list[Figure]:
    """The course of metrics over runs, oldest first; those that no run has are left out."""
    found = []
    for name, (title, unit) in wanted.items():
        points = trend_points(runs, name)
        if any(point.value is not None for point in points):
            heading = title[0].upper() + title[1:]
            found.append(Figure(heading, charts.trend(points, unit, title), ""))
    return found


def quality_trends(runs: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Of quality metrics."""
    return trends(runs, TRENDS)


def speed_trends(runs: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Of tokens, throughput and cost."""
    return trends(runs, SPEED)


def trend_points(runs: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    """One metric of each run."""
    points, judge = [], None
    for run in runs:
        changed = None not in (judge, run["judge_id"]) and judge != run["judge_id"]
        judge = run["judge_id"] or judge
        ends = (run.get(name), run.get(f"{name}_low"), run.get(f"{name}_high"))
        points.append(Point(day_of(run), *ends, mark=changed))
    return points


def day_of(run: Mapping[str, Any]) -> str:
    """When a run began, short."""
    started = str(run["started_at"] or run["run_id"])
    return started[5:16].replace("T", " ")


def rate_point(label: str, rate: Rate) -> Point:
    """A rate as a chart takes it."""
    return Point(label, rate.value, rate.low, rate.high)


def _drawn(title: str, histogram: Histogram, draw: Any, text: str) -> Figure:
    if not sum(histogram.counts):
        return Figure(title, None, _NOTHING)
    return Figure(title, draw(histogram), text)


def _votes_per_pair(histogram: Histogram) -> Markup:
    last = max(place for place, count in enumerate(histogram.counts) if count)
    names = [f"{edge:.0f}" for edge in histogram.edges[: last + 1]]
    return charts.columns(names, histogram.counts[: last + 1], "votes", "rows")


def _reasons(reasons: Mapping[str, int]) -> Figure:
    title = "Quarantine by reason"
    if not reasons:
        return Figure(title, None, "No row is in quarantine.")
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    names = [reason.replace("_", " ") for reason, _ in ordered]
    chart = charts.bars(names, [count for _, count in ordered], "rows in quarantine by reason")
    return Figure(title, chart, "Rows, by why they could not be labelled.")


def _by_length(pairs: Histogram, prefer_a: Histogram) -> Figure:
    title = "Preference by length"
    if not sum(pairs.counts):
        return Figure(title, None, "No labelled pair of texts that differ in length was sampled.")
    shares = [won / n if n else None for won, n in zip(prefer_a.counts, pairs.counts, strict=True)]
    text = "How often a is preferred, by how long it is beside b. A level line is no bias."
    return Figure(title, charts.shares_by_bin(pairs.edges, pairs.counts, shares), text)
