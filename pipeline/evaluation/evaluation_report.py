"""The report of an evaluation: every measure with its interval, overall and by slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.evaluation.benchmarks.benchmark import Benchmark
from pipeline.evaluation.benchmarks.published import differences
from pipeline.evaluation.criteria_measures import criteria_statistics
from pipeline.evaluation.evaluate import Evaluated, Task
from pipeline.evaluation.evaluation_measures import MACRO, Family, statistics
from pipeline.evaluation.judge_comparison import compare_judges
from pipeline.evaluation.probes import warnings_of
from pipeline.labeling.label_config import LabelConfig
from pipeline.stats.agreement import calibration_curve, risk_coverage
from pipeline.stats.bootstrap import Estimate, Macro, Statistic, Within, estimates
from pipeline.stats.wilson import LEAST_PROMPTS
from schemas.labels import Status
from schemas.pairs import GOLD_VALUES
from schemas.quality import AGREEMENT_LABELS

MOST_SLICES = 30  # of a kind; the largest are shown
Estimates = dict[str, Estimate]


def make_report(
    config: LabelConfig, task: Task, result: Evaluated, other: Evaluated | None = None
) -> dict[str, Any]:
    """Computes every measure, as it stands in ``evaluation.json``.

    Args:
        config: of the judge.
        task: what it was evaluated on.
        result: the judged pairs.
        other: the same pairs by another judge; None where it is compared with none.
    """
    rows, family = result.rows, config.judge.declared_format.about
    prompts = len({pair_measures.prompt_of(row) for row in rows})
    benchmark = task.benchmark
    slices = _slices(rows, benchmark)
    overall = _overall(rows, family, benchmark, slices.get("category", {}), task.resamples)
    measured = {
        kind: {
            name: _estimates(_pick(rows, places), family, task.resamples)
            for name, places in groups.items()
        }
        for kind, groups in slices.items()
    }
    against = None
    if other is not None:
        this, that = ((each.card, each.rows) for each in (result, other))
        against = compare_judges(this, that, family, task.resamples)
    kind = f"{config.judge.format}/{config.judge.candidates}"
    return {
        "name": task.name,
        "title": benchmark.title if benchmark else task.name,
        "judge": {
            "judge_id": result.card["judge_id"],
            "model": config.judge.model.name,
            "format": config.judge.format,
            "candidates": config.judge.candidates,
            "calibrated_on": result.calibrated_on,
        },
        "family": family,
        "read": result.read,
        "pairs": len(rows),
        "prompts": prompts,
        "pairs_with_other_gold": result.other_gold,
        "overall": _plain(overall),
        "slices": {name: _plain_slices(groups) for name, groups in measured.items()}
        | {"format": {kind: _plain(overall)}},
        "criteria": {
            name: _plain(_clustered(measures, rows, task.resamples))
            for name, measures in criteria_statistics(rows, config.judge).items()
        },
        "against": None if against is None else asdict(against),
        "quarantined_by_reason": dict(
            Counter(r.label["reason"] for r in rows if r.label["reason"])
        ),
        "curves": _curves(rows) if family == "pair" else {},
        "published": _published(benchmark, overall, measured.get("category", {})),
        "as_published": task.as_published,
        "differences": _differences(benchmark, config, len(rows)),
        "controls": [asdict(comparison) for comparison in result.comparisons],
        "probes": None if result.probes is None else asdict(result.probes),
        "warnings": [
            *_warnings(result, prompts),
            *_undecided(config, rows),
            *(warnings_of(result.probes) if result.probes else ()),
            *([against.warning] if against and against.warning else []),
            *(f"the other judge: {failure}" for failure in (other.failures if other else ())),
        ],
    }


def confusion(rows: Sequence[JudgedPair]) -> list[list[int]]:
    """Pairs by gold (rows: a, b, tie) and label (columns: a, b, tie, abstained, quarantined)."""
    counts = Counter((row.pair["gold"], pair_measures.label_of(row)) for row in rows)
    return [[counts[gold, label] for label in AGREEMENT_LABELS] for gold in GOLD_VALUES]


def _overall(
    rows: Sequence[JudgedPair],
    family: Family,
    benchmark: Benchmark | None,
    categories: Mapping[str, Sequence[int]],
    resamples: int,
) -> Estimates:
    wanted = statistics(rows, family)
    if benchmark is not None:
        wanted |= benchmark.extra(rows)
    widest = {name: places for name, places in categories.items() if "/" not in name}
    if len(widest) > 1:
        wanted |= _macro(rows, family, widest)
    return _clustered(wanted, rows, resamples)


def _estimates(rows: Sequence[JudgedPair], family: Family, resamples: int) -> Estimates:
    return _clustered(statistics(rows, family), rows, resamples)


def _clustered(
    wanted: Mapping[str, Statistic], rows: Sequence[JudgedPair], resamples: int
) -> Estimates:
    prompts = [pair_measures.prompt_of(row) for row in rows]
    return estimates(wanted, len(rows), resamples, clusters=prompts)


def _macro(
    rows: Sequence[JudgedPair], family: Family, categories: Mapping[str, Sequence[int]]
) -> dict[str, Statistic]:
    """Plain means over categories, of the measures that benchmarks publish that way."""
    of_each = {name: statistics(_pick(rows, places), family) for name, places in categories.items()}
    found: dict[str, Statistic] = {}
    for measure in MACRO:
        parts = [
            Within(np.asarray(categories[name]), of[measure])
            for name, of in of_each.items()
            if measure in of
        ]
        if parts:
            found[f"macro_{measure}"] = Macro(tuple(parts))
    return found


def _slices(
    rows: Sequence[JudgedPair], benchmark: Benchmark | None
) -> dict[str, dict[str, list[int]]]:
    """The rows of each slice, by kind of slice and name."""
    sources: dict[str, list[int]] = {}
    categories: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        sources.setdefault(row.pair["source"] or "unknown", []).append(place)
        for category in benchmark.categories(row.pair) if benchmark else ():
            categories.setdefault(category, []).append(place)
    return {
        kind: dict(sorted(sorted(groups.items(), key=lambda g: -len(g[1]))[:MOST_SLICES]))
        for kind, groups in (("source", sources), ("category", categories))
        if groups
    }


def _curves(rows: Sequence[JudgedPair]) -> dict[str, Any]:
    stated = [(pair_measures.probability(row), pair_measures.gold_share(row)) for row in rows]
    known = [(p, outcome) for p, outcome in stated if p is not None]
    answered = [row for row in rows if pair_measures.label_of(row) in GOLD_VALUES]
    curves: dict[str, Any] = {"confusion": confusion(rows)}
    if known:
        p, observed, count = calibration_curve([p for p, _ in known], [o for _, o in known])
        curves["calibration"] = {
            "stated": p.tolist(),
            "observed": observed.tolist(),
            "pairs": count.tolist(),
        }
    if answered:
        coverage, risk = risk_coverage(
            np.array([pair_measures.confidence(row) for row in answered], np.float64),
            np.array([1 - pair_measures.right(row) for row in answered]),
            len(rows),
        )
        curves["risk_coverage"] = {"coverage": coverage.tolist(), "risk": risk.tolist()}
    return curves


def _published(
    benchmark: Benchmark | None, overall: Estimates, categories: Mapping[str, Estimates]
) -> list[dict[str, Any]]:
    found = []
    for entry in benchmark.published if benchmark else ():
        known = overall if entry.category is None else categories.get(entry.category, {})
        measured = known.get(entry.figure)
        found.append(asdict(entry) | {"measured": asdict(measured) if measured else None})
    return found


def _differences(
    benchmark: Benchmark | None, config: LabelConfig, pairs: int
) -> list[dict[str, str]]:
    """What keeps the measured figures from being compared with the published ones."""
    if benchmark is None or not benchmark.published:
        return []
    return [asdict(found) for found in differences(benchmark.setting, config, pairs)]


def _warnings(result: Evaluated, prompts: int) -> list[str]:
    found = [c.warning for c in result.comparisons if c.warning]
    found += [str(failure) for failure in result.failures]
    if result.other_gold:
        found.append(
            f"{result.other_gold} labelled pairs are left out: their gold is unknown or of "
            "another kind"
        )
    if result.calibrated_on:
        found.append(
            f"probabilities are calibrated on {result.calibrated_on} gold pairs: if these are "
            "among them, calibration error and Brier score flatter the judge (the judge card has "
            "cross-fitted figures)"
        )
    if prompts < LEAST_PROMPTS:
        found.append(
            "intervals of shares are wide, and others are not measured: the "
            f"{len(result.rows)} pairs are of {prompts} different prompts, expected "
            f"{LEAST_PROMPTS} or more, since pairs of one prompt are alike"
        )
    return found


def _undecided(config: LabelConfig, rows: Sequence[JudgedPair]) -> list[str]:
    """That a reward model's scores make no labels yet, which accuracies of labels do not show."""
    reward = config.judge.declared_format.family == "reward"
    reasons = {row.label["detail"] for row in rows if row.label["status"] == Status.ABSTAINED}
    if not reward or len(reasons) != 1 or None in reasons:
        return []
    return [f"pairs are abstained, and none of them is right: {reasons.pop()}"]


def _pick(rows: Sequence[JudgedPair], places: Sequence[int]) -> list[JudgedPair]:
    return [rows[place] for place in places]


def _plain(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(estimate) for name, estimate in found.items()}


def _plain_slices(groups: Mapping[str, Estimates]) -> dict[str, Any]:
    return {name: _plain(found) for name, found in groups.items()}
