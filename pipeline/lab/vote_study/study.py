"""The simulation: every strategy on every population, and bounds for comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from pipeline.lab.vote_study import judge_noise
from pipeline.lab.vote_study.judge_noise import TYPICAL, Population
from pipeline.lab.vote_study.strategy_averages import Averages
from pipeline.lab.vote_study.vote_bounds import best_curve, wald_votes
from pipeline.lab.vote_study.vote_enumeration import Enumeration
from pipeline.lab.vote_study.vote_replay import Replay, sample_pairs
from pipeline.lab.vote_study.voting_strategies import (
    MAJORITY,
    OneOrder,
    ProductStrategy,
    Strategy,
    adaptive,
    fixed,
    gaining,
    with_ties,
)

REFERENCE = fixed(8)
AIM = 0.4  # share of the reference's votes
CAPS = (8, 16)
RATES = (0.05, 0.10, 0.15, 0.20, 0.25, 0.30)
SEEDS = 5

FIXED: tuple[Strategy, ...] = (OneOrder(), *(fixed(count) for count in (2, 4, 6, 8, 12, 16)))
DEFAULTS: tuple[ProductStrategy, ...] = tuple(adaptive(cap) for cap in CAPS)
# By margin scale: the curves along which only the stop threshold changes. The label is that of the
# majority, so that a high stop threshold does not also withhold labels.
THRESHOLDS = {0.0: (0.65, 0.74, 0.8, 0.85, 0.9), 1.0: (0.65, 0.7, 0.74), 2.0: (0.65, 0.7)}
KNOBS: tuple[ProductStrategy, ...] = (
    *(adaptive(8, 0.85, 0, prior) for prior in (0.5, 1, 2)),
    *(adaptive(8, label_threshold=threshold) for threshold in (0.8, 0.85)),
    *(gaining(8, price) for price in (0.02, 0.05, 0.15)),
    *(with_ties(8, nu) for nu in (1, 3)),
)


@dataclass(frozen=True)
class Row:
    """One strategy on one population.

    Attributes:
        behind: accuracy less that of ``REFERENCE``.
        intervals: half widths at 95 % of sampled rows (Student's t over the seeds); empty for
            exact ones.
        method: ``check`` is a sampled row of a population that is also computed exactly.
    """

    population: str
    strategy: str
    method: Literal["exact", "sampled", "check"]
    averages: Averages
    behind: float
    intervals: dict[str, float]

    def flat(self) -> dict[str, Any]:
        """The row for JSON."""
        values = {key: round(value, 5) for key, value in asdict(self.averages).items()}
        rounded = {key: round(value, 5) for key, value in self.intervals.items()}
        where = {"population": self.population, "strategy": self.strategy, "method": self.method}
        return {**where, **values, "behind": round(self.behind, 5), "intervals": rounded}


def curve(cap: int, margin_scale: float) -> list[ProductStrategy]:
    """Strategies that differ in their threshold."""
    steps = THRESHOLDS[margin_scale]
    return [adaptive(cap, step, margin_scale, label_threshold=MAJORITY) for step in steps]


def populations() -> list[Population]:
    """The judges whose replies can all be parsed."""
    return [
        *(judge_noise.flips(rate) for rate in RATES),
        *(judge_noise.mixed(rate) for rate in (*RATES, TYPICAL)),
        *(judge_noise.mixed(TYPICAL, bias=bias) for bias in (0.5, 1.0, 1.5)),
        *(judge_noise.scores(level) for level in (1, 2, 3)),
        *(judge_noise.scores(level, 2) for level in (1, 2)),
        judge_noise.scores(2, 2, slot=1),
        *(judge_noise.ties(nu) for nu in (1, 3)),
        judge_noise.empty_margins(),
    ]


def unparseable_populations() -> list[Population]:
    """Three of them with a share of unparseable replies."""
    judges = (judge_noise.flips(0.15), judge_noise.mixed(TYPICAL), judge_noise.scores(2, 2))
    return [judge.with_unparseable(share) for judge in judges for share in (0.02, 0.1)]


def simulate(seed: int, pairs: int) -> dict[str, Any]:
    """All results of the simulation, for JSON.

    Args:
        seed: the first of ``SEEDS`` consecutive seeds.
        pairs: how many pairs are sampled for each seed and population.
    """
    seeds = range(seed, seed + SEEDS)
    main, judges = [*FIXED, *DEFAULTS], populations()
    flat = [each for cap in CAPS for each in curve(cap, 0.0)]
    weighing = [each for cap in CAPS for scale in THRESHOLDS if scale for each in curve(cap, scale)]
    rows = list(enumerated(judges, [*main, *KNOBS, *flat]))
    rows += enumerated(unparseable_populations(), [OneOrder(), fixed(2), REFERENCE, *DEFAULTS])
    for population in judges:
        if population.scored:
            rows += sampled(population, weighing, seeds, pairs)
    for population in (judge_noise.mixed(TYPICAL), judge_noise.scores(2, 2).with_unparseable(0.1)):
        rows += [replace(r, method="check") for r in sampled(population, main, seeds, pairs)]
    return {
        "seeds": [seed, seed + SEEDS - 1],
        "sampled_pairs_a_seed": pairs,
        "default": DEFAULTS[0].name,
        "rows": [row.flat() for row in rows],
        "bounds": bounds(rows),
    }


def enumerated(populations: Sequence[Population], strategies: Sequence[Strategy]) -> Iterable[Row]:
    """Exact rows, of strategies that do not weigh votes by their margins."""
    known = [Enumeration(strategy) for strategy in strategies]
    reference = Enumeration(REFERENCE)
    for population in populations:
        aim = reference.averages(population).accuracy
        for each in known:
            exact = each.averages(population)
            behind = exact.accuracy - aim
            yield Row(population.name, each.strategy.name, "exact", exact, behind, {})


def sampled(
    population: Population, strategies: Sequence[Strategy], seeds: Sequence[int], pairs: int
) -> Iterable[Row]:
    """Sampled rows: within a seed every strategy gets the same replies."""
    known = [Replay(strategy) for strategy in strategies]
    reference = Replay(REFERENCE)
    by_strategy: list[list[Averages]] = [[] for _ in known]
    aims = []
    for seed in seeds:
        asked = sample_pairs(population, pairs, seed)
        aims.append(reference.averages(asked).accuracy)
        for of_seeds, each in zip(by_strategy, known, strict=True):
            of_seeds.append(each.averages(asked))
    for of_seeds, each in zip(by_strategy, known, strict=True):
        behind = [one.accuracy - aim for one, aim in zip(of_seeds, aims, strict=True)]
        columns = {f.name: [getattr(one, f.name) for one in of_seeds] for f in fields(Averages)}
        mean = Averages(**{name: float(np.mean(values)) for name, values in columns.items()})
        intervals = {name: _half_width(columns[name]) for name in ("accuracy", "votes")}
        intervals["behind"] = _half_width(behind)
        name = each.strategy.name
        yield Row(population.name, name, "sampled", mean, float(np.mean(behind)), intervals)


def bounds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each population the fewest votes that reach the reference.

    ``wald`` (where votes are iid) bounds any test; ``best`` any strategy that asks in rounds,
    knows the population and sees the votes without margins.
    """
    found = []
    exact = [row for row in rows if row.method == "exact"]
    reached = {(row.population, row.strategy): row.averages.accuracy for row in exact}
    for population in populations():
        aim = reached[population.name, REFERENCE.name]
        points = best_curve(population)
        votes, accuracy = zip(*points, strict=True)
        limit = AIM * REFERENCE.most
        entry: dict[str, Any] = {
            "population": population.name,
            "best_votes": round(float(np.interp(aim, accuracy, votes)), 2),
            "best_behind_at_aim": round(float(np.interp(limit, votes, accuracy)) - aim, 5),
            "curve": [[round(x, 4), round(y, 5)] for x, y in points],
        }
        if population.name.startswith("flips"):
            wrong = float(population.choices()[0, 0, 1])
            entry["wald_votes"] = round(wald_votes(wrong, 1 - aim), 2)
        found.append(entry)
    return found


def _half_width(values: Sequence[float]) -> float:
    quantile = float(stdtrit(len(values) - 1, 0.975))
    spread = float(np.std(values, ddof=1))
    return float(quantile * spread / math.sqrt(len(values)))
