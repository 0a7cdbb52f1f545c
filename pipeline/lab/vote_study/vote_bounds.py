"""Bounds on the accuracy that any strategy can reach with a number of votes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from pipeline.lab.vote_study.judge_noise import Population
from pipeline.lab.vote_study.strategy_averages import Floats

State = tuple[int, int, int]  # rounds with two votes for a, with one for each, with two for b
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
    how the judge errs on average, sees the choice of each vote, and always labels.

    Args:
        population: all votes are for ``a`` or ``b`` and can be parsed.
        cap: most votes of a pair.
    """
    problem = _Problem(population, cap // 2)
    points = sorted({problem.solved(float(price)) for price in _PRICES})
    curve: list[tuple[float, float]] = []
    for votes, accuracy in points:
        if not curve or accuracy > curve[-1][1]:
            curve.append((votes, accuracy))
    return curve


class _Problem:
    """Optimal stopping on the counts of rounds; masses are those of one sequence of rounds."""

    def __init__(self, population: Population, rounds: int) -> None:
        first, second = population.choices()[:, 0, 0], population.choices()[:, 1, 0]
        split = first * (1 - second) + (1 - first) * second
        self._rounds, self._gold = rounds, population.gold
        self._better = population.weight[population.gold != 0].sum()
        self._mass: dict[State, Floats] = {
            state: population.weight
            * (first * second) ** state[0]
            * split ** state[1]
            * ((1 - first) * (1 - second)) ** state[2]
            for count in range(1, rounds + 1)
            for state in _states(count)
        }

    def solved(self, price: float) -> tuple[float, float]:
        """Votes and accuracy of the best rule when a vote costs ``price``."""
        value: dict[State, float] = {}
        stops: set[State] = set()
        for count in range(self._rounds, 0, -1):
            for state in _states(count):
                stop = self._right(state) - price * 2 * count * self._mass[state].sum()
                more = -math.inf if count == self._rounds else sum(value[s] for s in _next(state))
                value[state] = max(stop, more)
                if stop >= more:
                    stops.add(state)
        return self._averages(stops)

    def _averages(self, stops: set[State]) -> tuple[float, float]:
        paths: dict[State, int] = dict.fromkeys(_next((0, 0, 0)), 1)  # sequences that lead there
        votes = right = 0.0
        for count in range(1, self._rounds + 1):
            later: dict[State, int] = {}
            for state, number in paths.items():
                if state in stops:
                    votes += number * 2 * count * float(self._mass[state].sum())
                    right += number * self._right(state)
                    continue
                for after in _next(state):
                    later[after] = later.get(after, 0) + number
            paths = later
        return round(votes, 6), round(right / float(self._better), 6)

    def _right(self, state: State) -> float:
        """Mass of the pairs for which the likelier label is right."""
        mass = self._mass[state]
        return float(max(mass[self._gold > 0].sum(), mass[self._gold < 0].sum()))


def _states(rounds: int) -> Iterator[State]:
    for for_a, for_b in itertools.product(range(rounds + 1), repeat=2):
        if for_a + for_b <= rounds:
            yield for_a, rounds - for_a - for_b, for_b


def _next(state: State) -> list[State]:
    a, split, b = state
    return [(a + 1, split, b), (a, split + 1, b), (a, split, b + 1)]
