"""Bounds on the accuracy that any strategy can reach with a number of votes."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.lab.vote_study.judge_noise import Population
from pipeline.lab.vote_study.strategy_averages import Floats

Bools = NDArray[np.bool_]
Counts = tuple[int, int, int]  # votes for a, for b and for a tie
State = tuple[Counts, Counts]  # of order ab and of order ba, equally many
_PRICES = np.geomspace(3e-5, 0.2, 60)  # of a vote, in accuracy


def wald_votes(wrong: float, error: float) -> float:
    """Fewest votes on average of any test with this error, if votes are iid (Wald 1945).

    Args:
        wrong: probability that a vote is wrong, the same for each.
        error: of the test, the same for either side.
    """
    information = (1 - 2 * wrong) * math.log((1 - wrong) / wrong)
    return (1 - 2 * error) * math.log((1 - error) / error) / information


def best_curve(population: Population, cap: int = 16) -> list[tuple[float, float]]:
    """Votes and accuracy of the best strategies that ask in rounds and know the population.

    By backward induction for a range of prices of a vote: optimal stopping by a rule that knows
    how the judge errs on average, sees the choice and the order of each vote, and always labels.

    Args:
        population: all votes can be parsed.
        cap: most votes of a pair.
    """
    return curve_of(*_Problem(population, cap // 2).solved(_PRICES))


def curve_of(votes: Iterable[float], accuracy: Iterable[float]) -> list[tuple[float, float]]:
    """The points that no other one with fewer votes reaches, by their votes."""
    curve: list[tuple[float, float]] = []
    for point in sorted(zip(votes, accuracy, strict=True)):
        if not curve or point[1] > curve[-1][1]:
            curve.append(point)
    return curve


def reached(curve: Sequence[tuple[float, float]], votes: float) -> float:
    """The accuracy at so many votes of the best mix of two points, pairs parted between them.

    Where all points have fewer votes, it is the best of them.

    Raises:
        ValueError: all of them have more votes.
    """
    fewer = [point for point in curve if point[0] <= votes]
    mixes = [
        low[1] + (votes - low[0]) / (high[0] - low[0]) * (high[1] - low[1])
        for low in fewer
        for high in curve
        if high[0] > votes
    ]
    return max([accuracy for _, accuracy in fewer] + mixes)


class _Problem:
    """Optimal stopping on the counts of votes; masses are those of one sequence of rounds."""

    def __init__(self, population: Population, rounds: int) -> None:
        chances, gold = population.choices(), population.gold
        seen = [np.flatnonzero(chances[:, order].any(axis=0)).tolist() for order in (0, 1)]
        self._replies = list(itertools.product(*seen))  # that a round can have
        self._better = population.weight[gold != 0].sum()
        self._states: list[dict[State, tuple[float, float]]] = []
        for votes in range(1, rounds + 1):
            first, second = (_products(chances[:, n], seen[n], votes) for n in (0, 1))
            mass, for_a, for_b = (
                np.stack(list(first.values())) * weight @ np.stack(list(second.values())).T
                for weight in (population.weight * some for some in (1, gold > 0, gold < 0))
            )
            pairs = itertools.product(first, second)
            likelier = np.maximum(for_a, for_b)
            both = zip(mass.ravel().tolist(), likelier.ravel().tolist(), strict=True)
            self._states.append(dict(zip(pairs, both, strict=True)))

    def solved(self, prices: Floats) -> tuple[list[float], list[float]]:
        """Votes and accuracy of the best rule for each price of a vote."""
        value: dict[State, Floats] = {}
        stops: dict[State, Bools] = {}
        for number, states in reversed(list(enumerate(self._states, 1))):
            last = number == len(self._states)
            for state, (mass, right) in states.items():
                stop = right - prices * 2 * number * mass
                more = stop if last else sum(value[after] for after in self._next(state))
                value[state], stops[state] = np.maximum(stop, more), stop >= more
        return self._averages(stops, len(prices))

    def _averages(self, stops: dict[State, Bools], count: int) -> tuple[list[float], list[float]]:
        # Sequences that lead to a state, for each price: none where one has stopped before.
        paths = dict.fromkeys(self._next(((0, 0, 0), (0, 0, 0))), np.ones(count))
        votes, right = np.zeros(count), np.zeros(count)
        for number, states in enumerate(self._states, 1):
            later: dict[State, Floats] = {}
            for state, sequences in paths.items():
                ended, (mass, of_likelier) = sequences * stops[state], states[state]
                votes += ended * 2 * number * mass
                right += ended * of_likelier
                for after in self._next(state):
                    later[after] = later.get(after, 0.0) + sequences - ended
            paths = later
        return votes.round(6).tolist(), (right / self._better).round(6).tolist()

    def _next(self, state: State) -> list[State]:
        return [(_plus(state[0], one), _plus(state[1], other)) for one, other in self._replies]


def _products(chances: Floats, replies: Sequence[int], votes: int) -> dict[Counts, Floats]:
    """For all counts of so many votes in one order: the chance of one sequence, of each kind."""
    found: dict[Counts, Floats] = {(0, 0, 0): np.ones(len(chances))}
    for _ in range(votes):
        found = {
            _plus(counts, reply): chance * chances[:, reply]
            for counts, chance in found.items()
            for reply in replies
        }
    return found


@functools.cache
def _plus(counts: Counts, reply: int) -> Counts:
    a, b, tie = (count + (reply == n) for n, count in enumerate(counts))
    return a, b, tie
