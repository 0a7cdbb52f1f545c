"""The benchmark of cascades: results for JSON, a table and a chart of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.lab.cascade_study.cascade_plot import draw_cascades
from pipeline.lab.cascade_study.published_judges import (
    PUBLISHED,
    WAYS,
    Prices,
    Published,
    concentration,
    simulated,
)
from pipeline.lab.cascade_study.routes import (
    Route,
    Routed,
    alone,
    cascade,
    cascades,
    cheapest,
    most_accurate,
    random_routes,
)
from pipeline.lab.cascade_study.stored_judges import ask, routed
from pipeline.labeling.label_config import LabelConfig

Results = dict[str, Any]
Halves = Sequence[tuple[Routed, Routed]]

ABOVE = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)  # the error of the best judge
AIM = 0.02
TIMES = 2.0  # cheaper than the best judge at that error
_PAIRS = 50_000
_VOTES = 8
_RESAMPLES = 1_000
# Assumed: seconds of an H200, of a pair and of a vote of 550 tokens. Seen with other lengths:
# infra/benchmarks/h200_2026-11-29.md.
H200 = Prices(1 / 36, 1 / 20.3)
REWARD = [
    "judge.bundle=skywork-vl-reward",
    "judge.model.name=tiny-reward-judge",
    "quarantine.max_fraction=1",  # pictures that are made smaller may leave too little
]


def bench_published(
    folder: Path, prices: Prices, alike: float, own: tuple[float, float] | None, seed: int
) -> Results:
    """Simulates judges of published error rates, and draws ``cascade_published.png``.

    Args:
        folder: made if it is not there.
        prices: of asking the judges.
        alike: correlation of what is hard for them.
        own: further error rates, of a reward model and of one vote.
        seed: of the simulation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judges = [*PUBLISHED, *([] if own is None else [Published("your judges", *own)])]
    studies = []
    for judge in judges:
        halves = [simulated(judge, prices, alike, _PAIRS, seed + half) for half in (0, 1)]
        study = _study(judge.name, [(halves[0], halves[1]), (halves[1], halves[0])], seed)
        published = asdict(judge) | {"concentration": round(concentration(judge), 3)}
        studies.append(study | {"published": published})
    picture = draw_cascades(studies, folder / "cascade_published.png")
    of_all = [line for study in studies for line in study["rows"]]
    return {
        "benchmark": "cascade",
        "rows": of_all,
        "studies": studies,
        "prices": asdict(prices),
        "alike": alike,
        "notes": [study["note"] for study in studies],
        "pictures": [picture],
    }


def bench_stored(
    judge: LabelConfig,
    reward: LabelConfig,
    input_uri: str,
    folder: Path,
    prices: Prices | None,
    seed: int,
) -> Results:
    """Asks two real judges about gold pairs, and draws ``cascade_stored.png``.

    Args:
        judge: of the judge's labeling job; stored votes are not asked for again.
        reward: of the reward model's.
        input_uri: the gold pairs.
        folder: where votes (``labels/``) and chart go.
        prices: of asking them; by default as long as it took here.
        seed: of the bootstrap.
    """
    output = str(folder / "labels")
    first, second = ask(reward, 1, input_uri, output), ask(judge, _VOTES, input_uri, output)
    measured = Prices(first.seconds, second.seconds)
    halves = routed(first, second, WAYS, prices or measured)
    study = _study("tiny judges, stored votes", halves, seed)
    return study | {
        "pairs": sum(len(pairs.confidence) for _, pairs in halves),
        "judge_ids": [first.judge_id, second.judge_id],
        "temperature": judge.judge.sampling.temperature,
        "measured_s": {name: round(value, 5) for name, value in asdict(measured).items()},
        "prices": asdict(prices or measured),
        "cores": os.cpu_count(),
        "pictures": [draw_cascades([study], folder / "cascade_stored.png")],
    }


def _study(name: str, halves: Halves, seed: int) -> Results:
    """All routes on all pairs, the cheapest by error, and what a choice on one half is worth."""
    pairs = _together([measured for _, measured in halves])
    known = {"alone": alone(pairs), "cascade": cascades(pairs), "random": random_routes(pairs)}
    best = most_accurate(known["alone"])
    rows = [{"judges": name, **_compared(known, best, above)} for above in ABOVE]
    held = _held_out(halves, seed)
    return {
        "judges": name,
        "best": _shown(best),
        "rows": rows,
        "routes": [_shown(route) for routes in known.values() for route in routes],
        "held_out": held,
        "note": _note(name, best, held, _compared(known, best, AIM)),
    }


def _compared(known: dict[str, list[Route]], best: Route, above: float) -> Results:
    """For each kind of route: how many times cheaper its cheapest is than the best judge."""
    row: Results = {"points_above": 100 * above}
    for kind, routes in known.items():
        route = cheapest(routes, best.error + above)
        row[kind] = None if route is None else round(best.price / route.price, 2)
        row[f"{kind}_by"] = None if route is None else _words(route)
    return row


def _held_out(halves: Halves, seed: int) -> Results:
    """The cheapest cascade within ``AIM`` of the best judge on one half, measured on the other."""
    rng = np.random.default_rng(seed)
    behind: list[float] = []
    times: list[float] = []
    chosen: list[str] = []
    resampled: list[list[tuple[float, float]]] = []
    for choose, measure in halves:
        best = most_accurate(alone(choose))
        route = cheapest(cascades(choose), best.error + AIM)
        assert route is not None  # the one that passes all pairs on costs more, and errs no more
        assert route.accepts is not None
        chosen.append(_words(route))

        def against(pairs: Routed, best: Route = best, route: Route = route) -> tuple[float, float]:
            assert route.accepts is not None
            single = next(each for each in alone(pairs) if each.way == best.way)
            found = cascade(pairs, route.way, route.accepts)
            return found.error - single.error, single.price / found.price

        error, price = against(measure)
        behind.append(error)
        times.append(price)
        count = len(measure.confidence)
        draws = rng.integers(count, size=(_RESAMPLES if count < _PAIRS else 20, count))
        resampled.append([against(measure.taken(rows)) for rows in draws])
    again = np.array(resampled).mean(0)
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    return {
        "points_behind": round(100 * float(np.mean(behind)), 2),
        "points_behind_95": [round(100 * float(x[0]), 2) for x in (low, high)],
        "times_cheaper": round(float(np.mean(times)), 2),
        "times_cheaper_95": [round(float(x[1]), 2) for x in (low, high)],
        "chosen": chosen,
    }


def _together(parts: Sequence[Routed]) -> Routed:
    """Pairs of several parts as one."""
    first, *others = parts
    found = first
    for other in others:
        ways = zip((found.first, *found.second), (other.first, *other.second), strict=True)
        joined = [
            type(one)(
                one.name,
                np.concatenate([one.correct, two.correct]),
                np.concatenate([one.price, two.price]),
            )
            for one, two in ways
        ]
        confidence = np.concatenate([found.confidence, other.confidence])
        sided = np.concatenate([found.sided, other.sided])
        found = Routed(joined[0], confidence, tuple(joined[1:]), sided)
    return found


def _words(route: Route) -> str:
    if route.kind == "alone":
        return route.way
    return f"{100 * route.passed:.0f} % to {route.way}"


def _shown(route: Route) -> Results:
    rounded = {"passed": 4, "error": 5, "price": 6, "accepts": 5}
    values = asdict(route)
    return {
        name: round(value, rounded[name]) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _note(name: str, best: Route, held: Results, others: Results) -> str:
    low, high = held["points_behind_95"]
    reached = held["times_cheaper"] >= TIMES and held["points_behind"] <= 100 * AIM
    without = ", ".join(f"{others[kind]} by {others[f'{kind}_by']}" for kind in ("alone", "random"))
    return (
        f"{name}: best judge alone {best.way}, error {100 * best.error:.1f} %; the cheapest "
        f"cascade within {100 * AIM:g} points of it, chosen on one half of the pairs, is on the "
        f"other {held['points_behind']:+.1f} points ({low:+.1f} to {high:+.1f}) at "
        f"{held['times_cheaper']:.1f} times the pairs for the price: aim of {TIMES:g} times "
        + ("reached" if reached else "not reached")
        + f"; without a cascade: {without} at random"
    )
