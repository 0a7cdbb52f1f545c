"""What a way of asking gives on average: accuracy, abstentions, votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregation.decisions import Decision
from schemas.labels import Status

Floats = NDArray[np.float64]

SUMS = ("right", "wrong", "quarantined", "votes", "retries")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Averages over a population of pairs.

    Attributes:
        accuracy: over pairs with a better side; undecided ones count one half.
        among_decided: accuracy over those of them that got a preference.
        undecided: share of them that got none (tie, abstained or quarantined).
        quarantined: share of all pairs.
        forced: share of the true ties that got a preference; 0 without true ties.
        votes: replies a pair, over all pairs, unreadable ones included.
        retries: unreadable replies a pair.
    """

    accuracy: float
    among_decided: float
    undecided: float
    quarantined: float
    forced: float
    votes: float
    retries: float


def count(decision: Decision, gold: str, votes: int, unreadable: int) -> tuple[float, ...]:
    """What one pair adds to each of ``SUMS``; of a true tie, any preference is ``wrong``."""
    preference = decision.preference
    return (
        float(preference is not None and preference == gold),
        float(preference is not None and preference != gold),
        float(decision.status is Status.QUARANTINED),
        float(votes),
        float(unreadable),
    )


def summed(sums: Mapping[str, Floats], weight: Floats, tied: NDArray[np.bool_]) -> Outcome:
    """The averages over pairs, or over kinds of pairs with weights.

    Args:
        sums: for each of ``SUMS``, (n,): its expectation for each pair.
        weight: (n,), how much each pair counts.
        tied: (n,), whether it is a true tie.
    """
    better = np.where(tied, 0.0, weight)
    right, wrong = (float(sums[k] @ better / better.sum()) for k in ("right", "wrong"))
    ties = np.where(tied, weight, 0.0)
    total = weight.sum()
    decided = right + wrong
    return Outcome(
        accuracy=right + (1 - decided) / 2,
        among_decided=right / decided if decided else 0.5,
        undecided=1 - decided,
        quarantined=float(sums["quarantined"] @ weight / total),
        forced=float(sums["wrong"] @ ties / ties.sum()) if ties.any() else 0.0,
        votes=float(sums["votes"] @ weight / total),
        retries=float(sums["retries"] @ weight / total),
    )
