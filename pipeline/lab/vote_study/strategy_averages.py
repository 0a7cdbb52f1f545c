"""What a strategy achieves on average: accuracy, abstentions, votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregation.decisions import Decision
from schemas.labels import Status

Floats = NDArray[np.float64]

COUNTED = ("right", "wrong", "quarantined", "votes", "retries")
"""What is counted of each pair."""


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Averages over a population of pairs.

    Attributes:
        accuracy: over pairs with a better side; undecided ones count one half.
        among_decided: accuracy over those of them that got a preference.
        undecided: share of them that got none (tie, abstained or quarantined).
        quarantined: share of all pairs.
        forced: share of the true ties that got a preference; 0 without true ties.
        votes: replies a pair, over all pairs, unparseable ones included.
        retries: unparseable replies a pair.
    """

    accuracy: float
    among_decided: float
    undecided: float
    quarantined: float
    forced: float
    votes: float
    retries: float


def counts_of(decision: Decision, gold: str, votes: int, unparseable: int) -> tuple[float, ...]:
    """The values of ``COUNTED`` for one pair; of a true tie, any preference is ``wrong``."""
    preference = decision.preference
    return (
        float(preference is not None and preference == gold),
        float(preference is not None and preference != gold),
        float(decision.status is Status.QUARANTINED),
        float(votes),
        float(unparseable),
    )


def averaged(counts: Mapping[str, Floats], weight: Floats, tied: NDArray[np.bool_]) -> Averages:
    """The averages over pairs, or over kinds of pairs with weights.

    Args:
        counts: for each of ``COUNTED``, (n,): its expectation for each pair.
        weight: (n,), how much each pair counts.
        tied: (n,), whether it is a true tie.
    """
    better = np.where(tied, 0.0, weight)
    right, wrong = (float(counts[k] @ better / better.sum()) for k in ("right", "wrong"))
    ties = np.where(tied, weight, 0.0)
    total = weight.sum()
    decided = right + wrong
    return Averages(
        accuracy=right + (1 - decided) / 2,
        among_decided=right / decided if decided else 0.5,
        undecided=1 - decided,
        quarantined=float(counts["quarantined"] @ weight / total),
        forced=float(counts["wrong"] @ ties / ties.sum()) if ties.any() else 0.0,
        votes=float(counts["votes"] @ weight / total),
        retries=float(counts["retries"] @ weight / total),
    )
