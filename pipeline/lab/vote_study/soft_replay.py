"""Whether soft votes save votes: stored votes replayed as they were sampled, and as soft ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from pipeline.aggregation.soft_weight import soft_weight
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.strategy_averages import averaged
from pipeline.lab.vote_study.vote_replay import AskedPair, Replay
from pipeline.lab.vote_study.voting_strategies import Strategy

_RESAMPLES = 1_000


def soft_against_sampled(
    strategies: Sequence[Strategy], pairs: Sequence[AskedPair], seed: int
) -> dict[str, Any] | None:
    """Replays every strategy on votes as they were sampled, and on the same votes as soft ones.

    Args:
        strategies: each asks for no more votes than the pairs have.
        pairs: with their stored votes.
        seed: of the bootstrap over pairs.

    Returns:
        How many votes for a side are soft, E[q(1-q)] of them, what one is worth in sampled votes,
        and for each strategy accuracy and votes both ways, with their paired differences; None
        without soft votes.
    """
    soft = [v.soft_a for pair in pairs for v in pair.votes if v.soft_a is not None]
    if not soft:
        return None
    weight = soft_weight([pair.votes for pair in pairs])
    sampled, weighed = _with(pairs, None), _with(pairs, weight or 1.0)
    tied = np.array([pair.gold == "tie" for pair in pairs])
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(_RESAMPLES, len(pairs)))
    counts = [np.bincount(rows, minlength=len(pairs)).astype(float) for rows in drawn]
    rows = []
    for strategy in strategies:
        both = [Replay(strategy).counts(each) for each in (sampled, weighed)]
        whole = [averaged(each, np.ones(len(pairs)), tied) for each in both]
        again = [[averaged(each, count, tied) for each in both] for count in counts]
        row: dict[str, Any] = {"strategy": strategy.name}
        for name in ("accuracy", "votes"):
            before, after = (getattr(each, name) for each in whole)
            gains = [getattr(new, name) - getattr(old, name) for old, new in again]
            interval = [round(float(x), 5) for x in np.quantile(gains, [0.025, 0.975])]
            row |= {name: round(before, 5), f"soft_{name}": round(after, 5)}
            row[f"{name}_more"] = interval
        rows.append(row)
    return {
        "soft_votes": len(soft),
        "chance": fmean(q * (1 - q) for q in soft),
        "weight": weight,
        "rows": rows,
    }


def _with(pairs: Sequence[AskedPair], weight: float | None) -> list[AskedPair]:
    """The pairs, their soft votes of this weight; None: all votes as they were sampled."""

    def changed(vote: Vote) -> Vote:
        if vote.soft_a is None:
            return vote
        return replace(vote, weight=weight, soft_a=None if weight is None else vote.soft_a)

    return [AskedPair(pair.gold, tuple(map(changed, pair.votes))) for pair in pairs]
