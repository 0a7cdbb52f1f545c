"""Replays votes, sampled or stored, under a strategy.

Which orders are asked does not depend on the verdicts, only on which replies could be parsed; so
the votes that any product rule would have asked for are a prefix of the votes that the largest
budget asks for. A pair is asked to the end once, and every rule is replayed on its prefixes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.aggregation.decisions import Decision
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.judge_noise import GAPS, Population
from pipeline.lab.vote_study.strategy_averages import (
    COUNTED,
    Averages,
    Floats,
    averaged,
    counts_of,
)
from pipeline.lab.vote_study.vote_enumeration import unparseable, vote_for
from pipeline.lab.vote_study.voting_strategies import Strategy, fixed
from schemas.labels import VERDICT

MOST = 16  # votes of a pair


@dataclass(frozen=True)
class AskedPair:
    """A pair and its votes, in the order asked under the budget ``MOST`` without an early stop.

    Attributes:
        gold: ``a``, ``b`` or ``tie``.
    """

    gold: str
    votes: tuple[Vote, ...]
    _keys: dict[tuple[int, bool], Any] = field(default_factory=dict, compare=False, repr=False)

    def key(self, asked: int, margins: bool) -> Any:
        """All that a pairwise rule can depend on after so many votes, with or without margins."""
        if (asked, margins) not in self._keys:
            self._keys[asked, margins] = _key(self.votes[:asked], margins)
        return self._keys[asked, margins]


class Replay:
    """One strategy; what it does at each key is kept for further pairs."""

    def __init__(self, strategy: Strategy) -> None:
        """Takes any strategy that asks for at most ``MOST`` votes."""
        self.strategy = strategy
        self._known: dict[Any, Decision | int] = {}

    def of(self, pair: AskedPair) -> tuple[Decision, int]:
        """The decision on a pair, and after how many votes."""
        asked = 0
        while isinstance(step := self._step(pair, asked), int):
            asked += step
        return step, asked

    def counts(self, pairs: Sequence[AskedPair]) -> dict[str, Floats]:
        """For each of ``COUNTED``, (n,): its value for each pair."""
        rows = []
        for pair in pairs:
            decision, stop = self.of(pair)
            lost = sum(not vote.parsed for vote in pair.votes[:stop])
            rows.append(counts_of(decision, pair.gold, stop, lost))
        return dict(zip(COUNTED, np.array(rows, dtype=float).T, strict=True))

    def averages(self, pairs: Sequence[AskedPair]) -> Averages:
        """The averages over pairs."""
        tied = np.array([pair.gold == "tie" for pair in pairs])
        return averaged(self.counts(pairs), np.ones(len(pairs)), tied)

    def _step(self, pair: AskedPair, asked: int) -> Decision | int:
        """How many more votes, or the decision."""
        key = pair.key(asked, self.strategy.reads_margins)
        if key not in self._known:
            votes = pair.votes[:asked]
            more = len(self.strategy.orders(votes))
            self._known[key] = more or self.strategy.decision(votes)
        return self._known[key]


def sample_pairs(population: Population, count: int, seed: int) -> list[AskedPair]:
    """Samples pairs of a population and their votes.

    Args:
        population: kinds of pairs and the distribution of votes.
        count: number of pairs.
        seed: the same seed gives the same votes.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(population.weight), size=count, p=population.weight)
    names = {1: "a", -1: "b", 0: "tie"}
    cumulated = population.gaps.cumsum(-1)
    levels = rng.random((count, 2, MOST, 1))
    gaps = GAPS[(levels > cumulated[kinds][:, :, None, :-1]).sum(-1)]
    lost = rng.random((count, 2, MOST)) < population.unparseable
    asker = _Asker()
    pairs = []
    for kind, gap, missing in zip(kinds, gaps, lost, strict=True):
        votes: list[Vote] = []
        replies = {"ab": iter(zip(gap[0], missing[0], strict=True)),
                   "ba": iter(zip(gap[1], missing[1], strict=True))}  # fmt: skip
        while orders := asker.orders(votes):
            votes += [_vote(o, *next(replies[o]), population.scored) for o in orders]
        pairs.append(AskedPair(names[int(population.gold[kind])], tuple(votes)))
    return pairs


class _Asker:
    """The orders that the largest budget asks for; they depend only on which replies are parsed."""

    def __init__(self) -> None:
        self._strategy = fixed(MOST)
        self._known: dict[tuple[int, int, int], tuple[str, ...]] = {}

    def orders(self, votes: Sequence[Vote]) -> tuple[str, ...]:
        answered = [vote.order for vote in votes if vote.parsed]
        key = (len(votes), answered.count("ab"), answered.count("ba"))
        if key not in self._known:
            self._known[key] = self._strategy.orders(votes)
        return self._known[key]


def _vote(order: str, gap: int, lost: bool, scored: bool) -> Vote:
    if lost:
        return unparseable(order)
    if not scored:
        return vote_for(order, "a" if gap > 0 else "b" if gap < 0 else "tie")
    scores = (1.0 + max(gap, 0), 1.0 + max(-gap, 0))
    return Vote(order=order, seed=0, outcome=VERDICT, scores=scores)


def _key(votes: Sequence[Vote], margins: bool) -> Any:
    parsed = [vote for vote in votes if vote.parsed]
    kinds = Counter(
        (vote.choice, vote.margin if margins else None, vote.soft_a, vote.weight) for vote in parsed
    )
    first = sum(vote.order == "ab" for vote in parsed)
    return (len(votes), first, len(parsed) - first, frozenset(kinds.items()))
