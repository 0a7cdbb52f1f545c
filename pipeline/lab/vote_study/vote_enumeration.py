"""The exact averages of a strategy, by enumerating every sequence of votes.

Votes without margins are exchangeable: what the rule asks and decides depends on how many
replies of each kind there are, not on their sequence. So the sequences are merged by counts, and
the product's rule is evaluated once for each count.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.aggregation.decisions import Decision
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.judge_noise import Population
from pipeline.lab.vote_study.strategy_averages import (
    COUNTED,
    Averages,
    Floats,
    averaged,
    counts_of,
)
from pipeline.lab.vote_study.voting_strategies import Strategy
from schemas.labels import VERDICT, Reason

_OPTIONS = {"a": "a", "b": "b", "tie": "both_good"}
_ORDERS = ("ab", "ba")
_UNPARSEABLE = 3  # the reply's number, after a, b and tie


class Counts(NamedTuple):
    """How many replies of each kind."""

    a: int = 0
    b: int = 0
    tie: int = 0
    answered_ab: int = 0
    answered_ba: int = 0
    unparseable: int = 0

    @property
    def asked(self) -> int:
        """Replies so far."""
        return self.answered_ab + self.answered_ba + self.unparseable

    def plus(self, order: int, reply: int) -> Counts:
        """With one more reply in an order (0 or 1): a, b, tie or unparseable (0 to 3)."""
        if reply == _UNPARSEABLE:
            return self._replace(unparseable=self.unparseable + 1)
        numbers = list(self)
        numbers[reply] += 1
        numbers[3 + order] += 1
        return Counts(*numbers)

    def votes(self) -> list[Vote]:
        """Votes with these counts."""
        choices = ["a"] * self.a + ["b"] * self.b + ["tie"] * self.tie
        orders = ["ab"] * self.answered_ab + ["ba"] * self.answered_ba
        parsed = [vote_for(order, choice) for order, choice in zip(orders, choices, strict=True)]
        return parsed + [unparseable("ab")] * self.unparseable


def vote_for(order: str, choice: str) -> Vote:
    """A vote for ``a``, ``b`` or ``tie``, without scores."""
    return Vote(order=order, seed=0, outcome=VERDICT, option=_OPTIONS[choice])


def unparseable(order: str) -> Vote:
    """A reply that is no verdict."""
    return Vote(order=order, seed=0, outcome=Reason.MALFORMED)


class Enumeration:
    """One strategy; what it does at each count is kept for further populations."""

    def __init__(self, strategy: Strategy) -> None:
        """Takes any strategy; of scores it sees which candidate got more, not how much more."""
        self.strategy = strategy
        self._known: dict[Counts, tuple[str, ...] | Decision] = {}

    def averages(self, population: Population) -> Averages:
        """The expected averages over a population."""
        return averaged(self.by_kind(population), population.weight, population.gold == 0)

    def by_kind(self, population: Population) -> dict[str, Floats]:
        """For each of ``COUNTED``, (n,): its expectation for each kind of pair."""
        parsed = population.choices() * (1 - population.unparseable)
        lost = np.full((*parsed.shape[:2], 1), population.unparseable)
        return self._expected(np.concatenate([parsed, lost], axis=-1), population.gold)

    def _expected(self, chances: Floats, gold: Floats) -> dict[str, Floats]:
        """For each of ``COUNTED`` its expectation for each kind of pair, (n,)."""
        possible = [number for number in range(4) if chances[..., number].any()]
        pending: dict[int, dict[Counts, Floats]] = defaultdict(dict)
        pending[0][Counts()] = np.ones(len(gold))
        sums = {name: np.zeros(len(gold)) for name in COUNTED}
        for asked in range(self.strategy.most + 1):
            for counts, mass in pending.pop(asked, {}).items():
                step = self._step(counts)
                if isinstance(step, Decision):
                    _add(sums, mass, step, counts, gold)
                    continue
                for replies in itertools.product(possible, repeat=len(step)):
                    after, chance = _after(counts, mass, step, replies, chances)
                    layer = pending[after.asked]
                    layer[after] = layer[after] + chance if after in layer else chance
        return sums

    def _step(self, counts: Counts) -> tuple[str, ...] | Decision:
        if counts not in self._known:
            votes = counts.votes()
            orders = self.strategy.orders(votes)
            self._known[counts] = orders or self.strategy.decision(votes)
        return self._known[counts]


def _after(
    counts: Counts, mass: Floats, orders: Sequence[str], replies: Sequence[int], chances: Floats
) -> tuple[Counts, Floats]:
    for order, reply in zip(orders, replies, strict=True):
        number = _ORDERS.index(order)
        counts, mass = counts.plus(number, reply), mass * chances[:, number, reply]
    return counts, mass


def _add(
    sums: dict[str, Floats], mass: Floats, decision: Decision, counts: Counts, gold: Floats
) -> None:
    for side, name in ((1, "a"), (-1, "b"), (0, "tie")):
        added = counts_of(decision, name, counts.asked, counts.unparseable)
        for key, value in zip(COUNTED, added, strict=True):
            sums[key] += np.where(gold == side, mass * value, 0.0)
