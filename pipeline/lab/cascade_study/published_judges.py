"""Judges simulated from the error rates that were published of them.

The reward model's labels have a calibrated confidence ``p = 1/2 + Beta(a, 3 - a)/2`` whose mean is
how often it is right. The judge errs about each pair at a rate of its own, Beta distributed with
the published error of one vote as mean; the spread is the one at which many votes have their own
published error, else that of the vote study. What is hard for one is hard for the other: the ranks
of their errors have the correlation ``alike`` (a normal copula). There are no ties, and no reply
that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtr
from scipy.stats import beta, binom

from pipeline.lab.cascade_study.routes import Routed, Way
from pipeline.lab.vote_study.judge_noise import CONCENTRATION, mixed
from pipeline.lab.vote_study.vote_enumeration import Enumeration
from pipeline.lab.vote_study.voting_strategies import MAJORITY, Strategy, adaptive, fixed
from pipeline.stats.arrays import Floats

_LEVELS = 400
_MIDDLES = (np.arange(_LEVELS) + 0.5) / _LEVELS

WAYS: tuple[Strategy, ...] = (
    *(fixed(votes) for votes in (2, 4, 8)),
    *(adaptive(8, threshold, label_threshold=MAJORITY) for threshold in (0.74, 0.9)),
)


@dataclass(frozen=True)
class Published:
    """Error rates of two judges on one benchmark.

    Attributes:
        reward: error of the reward model.
        vote: error of one vote of the judge.
        many: how many votes, and their error by majority, where that is published.
    """

    name: str
    reward: float
    vote: float
    many: tuple[int, float] | None = None


@dataclass(frozen=True)
class Prices:
    """What judging costs, in any unit.

    Attributes:
        reward: of a pair, by the reward model.
        vote: of one vote of the judge.
    """

    reward: float
    vote: float


# Skywork-VL-Reward and R1-Reward on three benchmarks, as their authors report them.
PUBLISHED = (
    Published("Multimodal RewardBench", 0.258, 0.178),
    Published("MM-RLHF-RewardBench", 0.276, 0.194, (15, 0.167)),
    Published("VL-RewardBench", 0.269, 0.281, (15, 0.235)),
)


def concentration(judge: Published) -> float:
    """Of the Beta distribution of its error rates; the greater, the more votes help."""
    if judge.many is None:
        return CONCENTRATION
    votes, error = judge.many

    def beyond(spread: float) -> float:
        return float(binom.sf(votes // 2, votes, _rates(judge.vote, spread)).mean()) - error

    return float(brentq(beyond, 0.05, 500))


def simulated(judge: Published, prices: Prices, alike: float, pairs: int, seed: int) -> Routed:
    """What both judges say of simulated pairs.

    Args:
        judge: their error rates.
        prices: of asking them.
        alike: correlation of what is hard for them.
        pairs: how many.
        seed: the same seed gives the same pairs.
    """
    rng = np.random.default_rng(seed)
    common, own_first, own_second = rng.standard_normal((3, pairs))
    hard_first, hard_second = (
        ndtr(np.sqrt(alike) * common + np.sqrt(1 - alike) * own) for own in (own_first, own_second)
    )
    shape = 3 * (1 - 2 * judge.reward)
    confidence = 0.5 + 0.5 * beta.ppf(1 - hard_first, shape, 3 - shape)
    right = (rng.random(pairs) < confidence).astype(np.float64)
    level = np.minimum((hard_second * _LEVELS).astype(np.int64), _LEVELS - 1)
    first = Way("reward model", right, np.full(pairs, prices.reward))
    population = mixed(judge.vote, 0.0, concentration=concentration(judge), points=_LEVELS)
    second = []
    for strategy in WAYS:
        known = Enumeration(strategy).by_kind(population)
        undecided = 1 - known["right"] - known["wrong"]
        correct = (known["right"] + undecided / 2)[:_LEVELS]
        second.append(Way(strategy.name, correct[level], prices.vote * known["votes"][level]))
    return Routed(first, confidence, tuple(second), np.ones(pairs, bool))


def _rates(mean: float, spread: float) -> Floats:
    rates: Floats = betaincinv(mean * spread, (1 - mean) * spread, _MIDDLES)
    return rates
