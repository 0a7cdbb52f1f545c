"""The least confidences of a cascade's judges that cost least, by pairs that people have checked.

A lower one spares later judges and lets more errors pass; what errors leave no room for, people
must label. Of all choices the one is taken by which judges and people together cost least, where
``policy.max_error`` keeps as many labels as its tests would leave on this gold. Nothing is promised
by that: it is the gold of other prompts that tests the bound (``pipeline.gold.roles``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregation.giving_order import AHEAD, Bools, Path, ranks
from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.fixed_sequence import first_tested, thresholds_of, upper_share

OFF = float("inf")  # a judge that settles nothing, and so is not asked
_MOST, _MOST_OF_ONE = 400, 20  # choices that are compared, and least confidences of a judge
_DIGITS = 10_000
_UNSURE = -1.0
_Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class CheckedAnswers:
    """What each judge of a cascade says about pairs that people have checked.

    Attributes:
        sure: (judges, pairs), the confidence of a preference or a tie; -1 where there is neither.
        given: (judges, pairs), whether the judge could be read.
        sided: (judges, pairs), whether it prefers a side.
        wrong: (judges, pairs), whether people do not; of preferences alone.
        weights: (pairs,), of how many pairs of the corpus each is one.
    """

    sure: _Matrix
    given: Bools
    sided: Bools
    wrong: Bools
    weights: Floats


@dataclass(frozen=True)
class Prices:
    """What a pair costs, in any unit.

    Attributes:
        judges: each of them, in their order.
        people: who label what no judge does.
    """

    judges: tuple[float, ...]
    people: float


@dataclass(frozen=True)
class Promise:
    """What is to be promised of the labels.

    Attributes:
        max_error: the share of wrong ones at most.
        delta: with which probability at most it may be missed.
        tested: how many pairs will test it.
    """

    max_error: float
    delta: float
    tested: float


@dataclass(frozen=True)
class Choice:
    """Least confidences, and what they give by the checked pairs.

    Attributes:
        accepts: of each judge but the last; ``OFF`` of one that is better left out.
        asked: of each judge, the share of all pairs that it is asked about.
        price: of judges, a pair.
        total: with that of people for what is not kept.
        kept: the share of all pairs whose preference is given.
        wrong: the share of these that are wrong.
        checked: which pairs these are.
        errors: which of all pairs have a wrong preference.
        path: in which order they are given.
    """

    accepts: tuple[float, ...]
    asked: tuple[float, ...]
    price: float
    total: float
    kept: float
    wrong: float
    checked: Bools
    errors: Bools
    path: Path


def cheapest_choice(answers: CheckedAnswers, prices: Prices, promise: Promise) -> Choice:
    """Of all choices of least confidences, the one of the least total; of equal ones the first."""
    every = (weighed(answers, each, prices, promise) for each in _choices(answers))
    return min(every, key=lambda choice: choice.total)


def weighed(
    answers: CheckedAnswers, accepts: Sequence[float], prices: Prices, promise: Promise
) -> Choice:
    """What a choice of least confidences gives and costs."""
    first, by = _deciding(answers, accepts)
    pairs, last = np.arange(len(by)), len(answers.sure) - 1
    whole = float(answers.weights.sum())
    used = [least < OFF for least in accepts] + [True]
    asked = tuple(
        float(answers.weights[first >= number].sum()) / whole if each else 0.0
        for number, each in enumerate(used)
    )
    price = sum(a * b for a, b in zip(asked, prices.judges, strict=True))
    sided, wrong = answers.sided[by, pairs], answers.wrong[by, pairs]
    given, path = _given(answers.sure[by, pairs], by == last, sided, wrong, answers, promise)
    kept = float(answers.weights[given].sum()) / whole
    share = _share(wrong[given], answers.weights[given])
    total = price + prices.people * (1 - kept)
    return Choice(tuple(accepts), asked, price, total, kept, share, given, wrong, path)


def _choices(answers: CheckedAnswers) -> Iterator[tuple[float, ...]]:
    """From judges that settle much to ones that settle nothing: quantiles of their confidences."""
    earlier = answers.sure[:-1]
    each = min(_MOST_OF_ONE, max(2, int(_MOST ** (1 / len(earlier)))))
    steps = []
    for sure in earlier:
        decided = np.floor(sure[sure > _UNSURE] * _DIGITS) / _DIGITS
        found = np.unique(np.quantile(decided, np.linspace(0, 1, each), method="lower"))
        steps.append([*(float(value) for value in found if value < 1), OFF])
    return itertools.product(*steps)


def _deciding(answers: CheckedAnswers, accepts: Sequence[float]) -> tuple[Ints, Ints]:
    """Of each pair the judge after which no other is asked, and the one whose label it has.

    As :class:`pipeline.aggregation.first_settled.FirstSettled` decides.
    """
    last = len(answers.sure) - 1
    by: Ints = np.zeros(answers.sure.shape[1], np.int64)
    for number in range(last + 1):
        by = np.where(answers.given[number], number, by)
    first: Ints = np.full_like(by, last)
    for number in reversed(range(last)):
        settles = answers.given[number] & (answers.sure[number] >= accepts[number])
        first, by = np.where(settles, number, first), np.where(settles, number, by)
    return first, by


def _given(
    sure: Floats,
    by_last: Bools,
    sided: Bools,
    wrong: Bools,
    answers: CheckedAnswers,
    promise: Promise,
) -> tuple[Bools, Path]:
    """Which preferences the bound would leave, and by which path: the one that leaves most.

    Each threshold is tested as it will be, on as many labels as will test it, as if so many of them
    were wrong as of these.
    """
    best: tuple[float, Bools, Path] = (0.0, np.zeros_like(sided), "A")
    tested = promise.tested * float(sided.mean())
    for path, ahead in AHEAD.items() if sided.any() else ():
        ranked = np.where(sided, ranks(sure, by_last, ahead), -np.inf)
        steps = thresholds_of(ranked[sided])
        start = first_tested(steps, round(tested), promise.max_error, promise.delta)
        reaching = ranked >= np.array([step.value for step in steps])[:, None]
        weights = reaching * answers.weights
        share = (weights * wrong).sum(1) / weights.sum(1)
        number = tested * np.array([step.coverage for step in steps])
        passes = upper_share(share, number, promise.delta)[start:] <= promise.max_error
        passed = start + int(np.append(passes, False).argmin())
        if passed > start and (kept := float(weights[passed - 1].sum())) > best[0]:
            best = (kept, reaching[passed - 1], path)
    return best[1], best[2]


def _share(wrong: Bools, weights: Floats) -> float:
    return float(weights[wrong].sum() / weights.sum()) if len(wrong) else 0.0
