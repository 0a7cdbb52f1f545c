"""How many sampled votes a soft one is worth: measured where a pair was asked again in one order.

A sampled vote varies by the judge's replies and by the last token's chance, a soft one by the
replies alone. The ratio of the two variances is the weight: near 1 where reasoning has decided
before the verdict is written, so that reading its log-probabilities gains nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np

from pipeline.judging.votes import Vote, parsed_of

MOST = 4.0
_LEAST_GROUPS = 20


def soft_weight(pairs: Iterable[Sequence[Vote]]) -> float | None:
    """1 + E[q(1-q)] / V, at most 4; V is the variance of q within pair and order.

    Args:
        pairs: the votes about each pair.

    Returns:
        None with fewer than 20 pairs and orders that have two soft votes.
    """
    groups: dict[tuple[int, str], list[float]] = defaultdict(list)
    for number, votes in enumerate(pairs):
        for vote in parsed_of(votes):
            if vote.soft_a is not None:
                groups[number, vote.order].append(vote.soft_a)
    asked_again = [each for each in groups.values() if len(each) > 1]
    if len(asked_again) < _LEAST_GROUPS:
        return None
    free = sum(len(each) - 1 for each in asked_again)
    within = sum(float(np.var(each)) * len(each) for each in asked_again) / free
    chance = fmean(q * (1 - q) for each in asked_again for q in each)
    return MOST if within * (MOST - 1) <= chance else 1 + chance / within
