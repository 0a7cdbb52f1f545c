"""The judge-noise models of the simulation.

A population is a list of kinds of pairs with weights. For each kind it has the better side
(``a`` and ``b`` in equal parts, or a true tie) and the probability of each vote in either order;
given the kind, replies are independent. The models claim no more than is written here:

* **flips**: every vote names the worse candidate with the same probability q.
* **mixed**: q differs from pair to pair, Beta distributed with a given mean and concentration 2
  (with a mean of 13.6 %, 11 votes agree with 50 in 96 % of pairs and two replies contradict each
  other in 16 %; published: 95 % and 13.6 %). The Beta reaches beyond one half: the judge is
  consistently wrong about some pairs, and no number of votes helps. One pair in ten is a true
  tie, of which either vote is equally likely.
* **position**: mixed, and the logit of preferring the first slot is raised by
  ``b * (1 + exp(-|logit(q)|))``: by b of clear pairs, by up to 2b where the gap is small.
* **scores**: a pair's quality gap is d ~ N(0, 2); the judge sees it with an error of its own that
  no further vote removes, d' = d + N(0, t), and scores both candidates independently in each
  reply: ``clip(round(5.5 ± d'/2 + N(0, s)), 1, 10)``, with a bonus of ``slot`` points for the
  first slot shared between the two. The better side is the sign of d. Equal scores are a vote for
  a tie.
* **ties**: a pair's gap is s ~ N(0, 2), and votes are those of Davidson's model of ties: for ``a``
  with ``exp(s/2)``, for ``b`` with ``exp(-s/2)``, for a tie with ``nu``, divided by their sum.
* **empty margins**: mixed, given as scores whose gap, 1 to 4, carries no information: what a rule
  that reads margins loses then.

Any model can be given unparseable replies: each reply, independently, with probability u.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv, ndtr, ndtri

from pipeline.lab.vote_study.strategy_averages import Floats

TYPICAL = 0.136  # the average repeat-flip rate published (arXiv 2606.13685)
CONCENTRATION = 2.0
TRUE_TIES = 0.1
_POINTS = 200  # quantiles of a latent variable
_ERRORS = 9  # quantiles of the judge's own error
_SCORES = np.arange(1, 11)
GAPS = np.arange(-9, 10)


@dataclass(frozen=True)
class Population:
    """Kinds of pairs, and the distribution of votes for each.

    Attributes:
        name: for tables.
        weight: (n,), sums to one.
        gold: (n,), 1 where ``a`` is better, -1 where ``b`` is, 0 of a true tie.
        gaps: (n, 2, 19): probability of each ``score_a - score_b`` of ``GAPS`` in order ``ab``
            and ``ba``.
        scored: whether the gaps are scores; if not, only their sign is voted.
        unparseable: probability that a reply is no verdict.
    """

    name: str
    weight: Floats
    gold: Floats
    gaps: Floats
    scored: bool
    unparseable: float = 0.0

    def choices(self) -> Floats:
        """(n, 2, 3): probabilities of ``a``, ``b`` and tie in order ``ab`` and ``ba``."""
        signs = [self.gaps[..., mask].sum(-1) for mask in (GAPS > 0, GAPS < 0, GAPS == 0)]
        return np.stack(signs, axis=-1)

    def with_unparseable(self, share: float) -> Population:
        """The same judge with a share of unparseable replies."""
        # "unreadable" is part of the name in stored results.
        return replace(self, name=f"{self.name}, {share:.0%} unreadable", unparseable=share)


def flips(wrong: float) -> Population:
    """Every vote is wrong with probability ``wrong``."""
    return _of_choices(f"flips {wrong:.0%}", np.array([wrong]), np.ones(1))


def mixed(
    mean: float,
    true_ties: float = TRUE_TIES,
    bias: float = 0.0,
    *,
    concentration: float = CONCENTRATION,
    points: int = _POINTS,
) -> Population:
    """Flip rates that differ from pair to pair, true ties, and a bias towards the first slot.

    The first ``points`` kinds are those where ``a`` is better, from the lowest flip rate on.
    """
    wrong, weight = _mixed(mean, true_ties, concentration, points)
    name = f"position {bias:g}" if bias else f"mixed {mean:.1%}".replace(".0%", "%")
    return _of_choices(name, wrong, weight, bias, true_ties > 0)


def empty_margins(mean: float = TYPICAL) -> Population:
    """Mixed flips as scores whose gap carries no information."""
    unscored = mixed(mean)
    choices = unscored.choices()
    gaps = np.zeros_like(unscored.gaps)
    for size in (1, 2, 3, 4):
        gaps[..., 9 + size], gaps[..., 9 - size] = choices[..., 0] / 4, choices[..., 1] / 4
    return replace(unscored, name="empty margins", gaps=gaps, scored=True)


def scores(noise: float, own_error: float = 0.0, slot: float = 0.0) -> Population:
    """Scores with noise ``s``, an error ``t`` of the judge's own and a bonus for the first slot."""
    quantiles = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    errors = ndtri((np.arange(_ERRORS) + 0.5) / _ERRORS) if own_error else np.zeros(1)
    gap, error = (grid.ravel() for grid in np.meshgrid(2 * quantiles, own_error * errors))
    seen = gap + error
    gaps = np.stack([_score_gaps(seen + shift, noise) for shift in (slot, -slot)], axis=1)
    name = f"scores, noise {noise:g}"
    name += f", own error {own_error:g}" if own_error else ""
    name += f", slot {slot:g}" if slot else ""
    return Population(name, np.full(len(gap), 1 / len(gap)), np.sign(gap), gaps, True)


def ties(nu: float) -> Population:
    """Votes for a tie by Davidson's model, the more of them the greater ``nu``."""
    gap = 2 * ndtri((np.arange(2 * _POINTS) + 0.5) / (2 * _POINTS))
    odds = np.stack([np.exp(-gap / 2), np.full_like(gap, nu), np.exp(gap / 2)], axis=1)
    gaps = np.zeros((len(gap), 2, len(GAPS)))
    gaps[:, :, 8:11] = (odds / odds.sum(1, keepdims=True))[:, None]
    name = f"ties, nu {nu:g}"
    return Population(name, np.full(len(gap), 1 / len(gap)), np.sign(gap), gaps, False)


def _mixed(
    mean: float, true_ties: float, concentration: float, points: int
) -> tuple[Floats, Floats]:
    levels = (np.arange(points) + 0.5) / points
    wrong = betaincinv(mean * concentration, (1 - mean) * concentration, levels)
    wrong = np.clip(wrong * mean / wrong.mean(), 1e-12, 1 - 1e-12)  # the mean as stated
    weight = np.full(points, (1 - true_ties) / points)
    return np.append(wrong, 0.5), np.append(weight, true_ties)


def _of_choices(
    name: str, wrong: Floats, weight: Floats, bias: float = 0.0, last_tied: bool = False
) -> Population:
    """Both sides alike: each kind once with ``a`` better and once with ``b``."""
    logit = np.log((1 - wrong) / wrong)
    shift = bias * (1 + np.exp(-np.abs(logit)))
    gold = np.ones_like(wrong)
    gold[-1] = 0 if last_tied else 1
    gaps = np.zeros((2 * len(wrong), 2, len(GAPS)))
    for order, sign in enumerate((1, -1)):  # a first, then b first
        towards_a = np.concatenate([logit, -logit]) + sign * np.tile(shift, 2)
        for_a = 1 / (1 + np.exp(-towards_a))
        gaps[:, order, 9 + 1], gaps[:, order, 9 - 1] = for_a, 1 - for_a
    return Population(name, np.tile(weight, 2) / 2, np.concatenate([gold, -gold]), gaps, False)


def _score_gaps(seen: Floats, noise: float) -> Floats:
    """(n, 19): distribution of the difference of two clipped and rounded scores."""
    edges = np.concatenate([[-np.inf], _SCORES[:-1] + 0.5, [np.inf]])
    score_a, score_b = (
        np.diff(ndtr((edges - 5.5 - sign * seen[:, None] / 2) / noise), axis=1) for sign in (1, -1)
    )
    joint = score_a[:, :, None] * score_b[:, None, :]
    difference = _SCORES[:, None] - _SCORES[None, :]
    return np.stack([joint[:, difference == gap].sum(1) for gap in GAPS], axis=1)
