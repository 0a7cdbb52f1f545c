"""The price of a round that keeps votes to a budget, by what earlier rounds were expected to gain.

A round was offered to a pair wherever its votes so far allowed one more, taken or not. It is asked
for under every price up to the least gain of the pair's rounds so far, its *reach*, so that what a
price costs is a sum over stored votes:

    votes a pair = (votes that every price costs + votes of rounds whose reach >= price) / pairs

The price is the least at which this is within the budget. Many rounds have the same reach: where
all of them are too many, the price lies within its step, and a share of the pairs pays it
(``evidence``). What would follow a round that nobody took is not known: where prices fall, they
fall by one round a run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.aggregation.evidence import GAIN_STEPS, round_gain
from pipeline.aggregation.policy import stop_rule
from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import FIRST_PRICE, VotesConfig
from pipeline.judging.votes import Vote, parsed_of

_NEVER = 0.4999  # above what any round gains
LEAST_PAIRS = 200


@dataclass(frozen=True)
class Offers:
    """The rounds offered to some pairs.

    Attributes:
        pairs: how many.
        fixed: votes that they cost under every price: those of the least rounds.
        votes: of all offered rounds, by their reach, rounded down.

    Replies that were no verdict are votes of the round in which they were asked for.
    """

    pairs: int = 0
    fixed: int = 0
    votes: tuple[tuple[float, int], ...] = ()

    @classmethod
    def of(cls, format_: Format, pairs: Iterable[Sequence[Vote]], config: VotesConfig) -> Self:
        """Of the votes about each pair, in the order asked; pairs without any do not count."""
        count, fixed, offered = 0, 0, Counter[float]()
        for votes in pairs:
            parsed = parsed_of(votes)
            if not parsed:
                continue
            a_round = len(format_.orders(len(parsed[0].order), 0, ""))
            least = _least(config, a_round)
            costs = _costs(votes, a_round)
            count += 1
            fixed += sum(costs[number] for number in range(least // a_round))
            for reach, cost in _offered(format_, parsed, config, costs, a_round):
                offered[reach] += cost
        return cls(count, fixed, tuple(sorted(offered.items())))

    def with_earlier(self, earlier: Offers) -> Offers:
        """These, and where they are of few pairs the earlier ones as well."""
        if self.pairs >= LEAST_PAIRS:
            return self
        votes = Counter(dict(self.votes)) + Counter(dict(earlier.votes))
        sums = (self.pairs + earlier.pairs, self.fixed + earlier.fixed)
        return Offers(*sums, tuple(sorted(votes.items())))

    def price(self, budget: float) -> float:
        """The least price at which these pairs would have cost ``budget`` votes each, or less.

        ``FIRST_PRICE`` where they are too few to tell.
        """
        if self.pairs < LEAST_PAIRS:
            return FIRST_PRICE
        price, left = _NEVER, budget * self.pairs - self.fixed
        for reach, votes in reversed(self.votes):
            if votes > left:
                share = max(0.0, left / votes)
                return reach + (1 - share) / GAIN_STEPS if share else price
            price, left = reach, left - votes
        return price


def _least(config: VotesConfig, a_round: int) -> int:
    """The least votes, in whole rounds."""
    return math.ceil(config.min_votes / a_round) * a_round


def _costs(votes: Sequence[Vote], a_round: int) -> Counter[int]:
    """By the number of each round that was begun: its votes, those that were no verdict too."""
    costs, parsed = Counter[int](), 0
    for vote in votes:
        costs[parsed // a_round] += 1
        parsed += vote.parsed
    return costs


def _offered(
    format_: Format, parsed: Sequence[Vote], config: VotesConfig, costs: Counter[int], a_round: int
) -> Iterator[tuple[float, int]]:
    """The reach of each round that may be asked for, and its votes."""
    reach, rule = 1.0, stop_rule(config)
    for asked in range(_least(config, a_round), len(parsed) + 1, a_round):
        number = asked // a_round
        if sum(costs[before] for before in range(number)) + a_round > config.max_votes:
            return
        reach = min(reach, round_gain(format_, parsed[:asked], rule, a_round))
        rounded = math.floor(reach * GAIN_STEPS) / GAIN_STEPS
        if rounded <= 0:
            return  # it is asked for under no price
        yield rounded, max(a_round, costs[number])
