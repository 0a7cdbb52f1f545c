"""Routes of pairs to judges: what each costs, and how often its labels are wrong.

A *cascade* asks the second judge about the pairs whose first label has too little confidence.
*Random routing* sends pairs to either judge by chance. Each judge *alone* is what both must beat.
The error is over pairs with a better side, where an undecided pair counts one half; the price is
over all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.stats.arrays import Floats, Ints

Kind = Literal["alone", "cascade", "random"]
_SHARES = np.linspace(0, 1, 41)  # of the pairs that are passed on


@dataclass(frozen=True)
class Way:
    """One way of asking one judge about n pairs.

    Attributes:
        correct: (n,), 1 where its label is right, 0 where it is wrong, one half where it is none.
        price: (n,), in any unit.
    """

    name: str
    correct: Floats
    price: Floats

    def taken(self, rows: Ints) -> Way:
        """Of some of the pairs."""
        return Way(self.name, self.correct[rows], self.price[rows])


@dataclass(frozen=True)
class Routed:
    """Pairs, and what every way of asking about them gives.

    Attributes:
        first: the cheap judge.
        confidence: (n,), of its labels; -1 where it decides nothing.
        second: ways of asking the dear judge.
        sided: (n,), whether people prefer a side.
    """

    first: Way
    confidence: Floats
    second: tuple[Way, ...]
    sided: NDArray[np.bool_]

    def taken(self, rows: Ints) -> Routed:
        """Some of the pairs."""
        second = tuple(way.taken(rows) for way in self.second)
        return Routed(self.first.taken(rows), self.confidence[rows], second, self.sided[rows])


@dataclass(frozen=True)
class Route:
    """A route, and what it costs.

    Attributes:
        way: how the second judge is asked, or the judge that is asked alone.
        passed: share of the pairs that the second judge is asked about.
        accepts: of a cascade, the least confidence at which the first judge's label stands.
        error: share of wrong labels among pairs with a better side.
        price: mean of a pair.
    """

    kind: Kind
    way: str
    passed: float
    accepts: float | None
    error: float
    price: float


def alone(pairs: Routed) -> list[Route]:
    """Each way of asking one judge about all pairs."""
    found = []
    for way in (pairs.first, *pairs.second):
        asked = 0.0 if way is pairs.first else 1.0
        found.append(_route(pairs, "alone", way.name, asked, None, way.correct, way.price))
    return found


def cascades(pairs: Routed) -> list[Route]:
    """The second judge, in each way, about the shares of the pairs that the first knows least.

    From none of them to all, so that one is as right as any judge alone.
    """
    above = np.nextafter(pairs.confidence.max(), np.inf)
    accepts = np.unique(np.quantile(pairs.confidence, _SHARES, method="higher"))
    every = [float(least) for least in (*accepts, above)]
    return [cascade(pairs, way.name, least) for way in pairs.second for least in every]


def cascade(pairs: Routed, way: str, accepts: float) -> Route:
    """One cascade, of a way and the least confidence at which the first judge's label stands."""
    second = next(each for each in pairs.second if each.name == way)
    passed = pairs.confidence < accepts
    correct = np.where(passed, second.correct, pairs.first.correct)
    price = pairs.first.price + passed * second.price
    return _route(pairs, "cascade", way, float(passed.mean()), accepts, correct, price)


def random_routes(pairs: Routed) -> list[Route]:
    """By chance to the second judge, in each way, or to the first: never to both."""
    first, *others = alone(pairs)
    return [
        replace(
            other,
            kind="random",
            passed=float(share),
            error=(1 - share) * first.error + share * other.error,
            price=(1 - share) * first.price + share * other.price,
        )
        for other in others
        for share in _SHARES
    ]


def most_accurate(routes: Sequence[Route]) -> Route:
    """The route with the least error; of equal ones the cheapest."""
    return min(routes, key=lambda each: (each.error, each.price))


def cheapest(routes: Sequence[Route], error: float) -> Route | None:
    """The cheapest route with at most this error; None where none has."""
    within = [each for each in routes if each.error <= error + 1e-12]
    return min(within, key=lambda each: (each.price, each.error), default=None)


def _route(
    pairs: Routed,
    kind: Kind,
    way: str,
    passed: float,
    accepts: float | None,
    correct: Floats,
    price: Floats,
) -> Route:
    error = 1 - float(correct[pairs.sided].mean())
    return Route(kind, way, passed, accepts, error, float(price.mean()))
