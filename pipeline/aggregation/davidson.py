"""Davidson's model of votes that may call ties: what they say of which side is better.

The candidates of a pair differ by s ~ N(0, sigma^2), unknown. A vote is for ``a`` with exp(s/2),
for ``b`` with exp(-s/2), and for a tie with nu, divided by their sum (Davidson 1970; Bradley and
Terry without ties). Ties then say that s is small: two votes for a side beside four ties prefer it
less than two alone. nu and sigma are of the judge, and need no gold: they are those under which its
votes are likeliest.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.judging.votes import Vote, parsed_of
from pipeline.stats.arrays import Floats

LEAST_PAIRS = 500
_POINTS = 1_201
_REACH = 6.0  # of the grid, in sigmas
MOST_ODDS, MOST_SPREAD = 100.0, 8.0
_BOUNDS = ((np.log(0.01), np.log(MOST_ODDS)), (np.log(0.2), np.log(MOST_SPREAD)))
_AT_BOUND = 0.01  # nearer to one, in logarithms, it is the bound that was found


@dataclass(frozen=True)
class Davidson:
    """The model with a judge's numbers.

    Attributes:
        tie_odds: nu; of equals, how likely a tie is against one of the sides.
        gap_spread: sigma.
    """

    tie_odds: float
    gap_spread: float

    def p_prefers_a(self, for_a: float, for_b: float, ties: int) -> float:
        """P(s > 0) after these votes."""
        if for_b > for_a:  # exactly the same for the other side
            return 1 - self.p_prefers_a(for_b, for_a, ties)
        return _posterior(self, for_a - for_b, for_a + for_b + ties)[0]

    def p_tie(self, for_a: float, for_b: float, ties: int) -> float:
        """How likely the next vote is to call a tie."""
        return _posterior(self, abs(for_a - for_b), for_a + for_b + ties)[1]


def fit_davidson(pairs: Sequence[Sequence[Vote]]) -> Davidson | None:
    """The numbers under which the votes are likeliest, pairs independent of each other.

    Args:
        pairs: the votes about each pair; soft ones count by their sampled choice.

    Returns:
        None of fewer than ``LEAST_PAIRS`` pairs with two votes or more, without a vote for a tie
        among them, or where votes are the likelier the farther a number goes: they then say no
        more than that it is large, or small.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    choices = [Counter(vote.choice for vote in parsed_of(votes)) for votes in pairs]
    asked = [each for each in choices if each.total() > 1]
    if len(asked) < LEAST_PAIRS or not any(each["tie"] for each in asked):
        return None
    known = Counter((abs(e["a"] - e["b"]), e["tie"], e.total()) for e in asked)
    lead, ties, votes = np.array(list(known), float).T
    count = np.array(list(known.values()), float)

    def unlikely(x: Floats) -> float:
        model = Davidson(float(np.exp(x[0])), float(np.exp(x[1])))
        each = logsumexp(_log_joint(model, lead[:, None], votes[:, None]), axis=1)
        return -float(count @ (each + ties * x[0])) / len(asked)

    found = minimize(unlikely, np.log([1.0, 2.0]), method="L-BFGS-B", bounds=_BOUNDS)
    if np.abs(np.array(_BOUNDS) - found.x[:, None]).min() < _AT_BOUND:
        return None
    tie_odds, gap_spread = np.exp(found.x).tolist()
    return Davidson(tie_odds, gap_spread)


def _grid(model: Davidson) -> Floats:
    return np.linspace(-_REACH, _REACH, _POINTS) * model.gap_spread


def _log_joint(model: Davidson, lead: float | Floats, votes: float | Floats) -> Floats:
    """Logarithm of prior and likelihood at each point of the grid, without nu's power.

    The likelihood of a lead of ``a`` is that of the same lead of ``b``, since the prior is even.
    """
    from scipy.special import logsumexp  # see pipeline.stats.wilson

    s = _grid(model)
    prior = -(s**2) / 2 / model.gap_spread**2
    joint: Floats = (
        prior
        - logsumexp(prior)
        + lead * s / 2
        - votes * np.log(2 * np.cosh(s / 2) + model.tie_odds)
    )
    return joint


@functools.lru_cache(100_000)
def _posterior(model: Davidson, lead: float, votes: float) -> tuple[float, float]:
    """P(s > 0) and the probability of a tie."""
    s = _grid(model)
    log = _log_joint(model, lead, votes)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    above = float(weight[s > 0].sum() + weight[s == 0].sum() / 2)
    tie = model.tie_odds / (2 * np.cosh(s / 2) + model.tie_odds)
    return above, float(weight @ tie)
