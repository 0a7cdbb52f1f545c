"""What votes about a row say so far, and whether they suffice.

A verdict is one random sample: each vote for ``a`` or ``b`` is evidence about the share of the
judge's votes for either that ``a`` would get in the long run. That share has a Beta posterior, in
which votes that call a tie have no part; a pair is settled once the share is on one side of one
half with a posterior probability of ``threshold``. Whether the judge would mostly call a tie is
settled likewise, by all votes, and comes first: one vote for a side among ties is no preference.
A soft vote counts for both sides, as likely as the reply was to prefer each.

The other stop rule asks what another round is worth: by how much it is expected to raise the
probability that the likelier side is the better one. Two votes of a lead cannot be overturned by
one round and gain nothing; ties cost a round that may settle nothing, so that they gain less.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.aggregation.policy import Rule, stop_rule
from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import VotesConfig
from pipeline.judging.votes import Vote, parsed_of, standing
from pipeline.runtime.digest import digest

_DIGITS = 9  # of a gain: equal votes gain equally on every machine
GAIN_STEPS = 10_000  # gains are compared with a price in steps of 1/10,000


@dataclass(frozen=True)
class Evidence:
    """The parsed votes about a pair, counted.

    Attributes:
        for_a, for_b: votes for each candidate; those that call a tie are for neither.
        ties: votes that call a tie.
        votes: how many there are.
    """

    for_a: float
    for_b: float
    ties: int
    votes: int

    @classmethod
    def of(cls, votes: Sequence[Vote], rule: Rule) -> Evidence:
        """Counts the parsed ones of ``votes``."""
        parsed = parsed_of(votes)
        sides = [_for_sides(vote, rule) for vote in parsed]
        for_a, for_b = (sum(side[index] for side in sides) for index in (0, 1))
        ties = sum(vote.choice == "tie" for vote in parsed)
        return cls(for_a, for_b, ties, len(parsed))

    def p_prefers_a(self, rule: Rule) -> float:
        """Posterior probability that the judge mostly prefers ``a`` where it prefers one."""
        if (model := rule.davidson) is not None:
            return model.p_prefers_a(self.for_a, self.for_b, self.ties)
        return _above_half(self.for_a, self.for_b, rule.prior)

    def p_ties(self, rule: Rule) -> float:
        """Posterior probability that the judge mostly calls a tie; by Davidson's model, that the
        next vote does.
        """
        if (model := rule.davidson) is not None:
            return model.p_tie(self.for_a, self.for_b, self.ties)
        return _above_half(self.ties, self.votes - self.ties, rule.prior)

    def outcome(self, rule: Rule) -> str | None:
        """``"a"``, ``"b"`` or ``"tie"``; None if the votes do not decide."""
        if self.p_ties(rule) >= (rule.tie_threshold if rule.davidson is None else 0.5):
            return "tie"
        p_a = self.p_prefers_a(rule)
        if max(p_a, 1 - p_a) < rule.threshold:
            return None
        return "a" if p_a > 0.5 else "b"

    def settled(self, rule: Rule, more: int, *, orders: int = 2) -> bool:
        """Whether the votes decide, or ``more`` of them could not decide either.

        One vote for a side, with ties beside it, settles nothing if it was given in one of several
        orders.
        """
        outcome = self.outcome(rule)
        if outcome is None:
            return not self.decidable(rule, more)
        return outcome == "tie" or self.votes - self.ties >= orders

    def decidable(self, rule: Rule, more: int) -> bool:
        """Whether ``more`` votes, all for the same outcome, would decide."""
        most = more * (rule.soft_weight or 1.0)
        endings = (
            Evidence(self.for_a + most, self.for_b, self.ties, self.votes + more),
            Evidence(self.for_a, self.for_b + most, self.ties, self.votes + more),
            Evidence(self.for_a, self.for_b, self.ties + more, self.votes + more),
        )
        return any(ending.outcome(rule) is not None for ending in endings)

    def gain(self, rule: Rule, votes: int = 2) -> float:
        """By how much a round of ``votes`` is expected to raise ``max(p, 1 - p)``.

        Each vote is ``a``, ``b`` or a tie as the votes before it predict under a Dirichlet prior,
        alike for the three, of which the Beta posterior of ``p`` is the part about the sides.
        """
        p_a = self.p_prefers_a(rule)
        gained = self._expected(rule, votes) - max(p_a, 1 - p_a)
        return max(0.0, round(gained, _DIGITS))

    def _expected(self, rule: Rule, votes: int) -> float:
        """What ``max(p, 1 - p)`` is expected to be after some more votes."""
        p_a = self.p_prefers_a(rule)
        if votes == 0:
            return max(p_a, 1 - p_a)
        one, prior = rule.soft_weight or 1.0, rule.prior
        tie = (self.ties + prior) / (self.votes + 3 * prior)
        for_a = (self.for_a + prior) / (self.for_a + self.for_b + 2 * prior)
        after = (
            (tie, replace(self, ties=self.ties + 1, votes=self.votes + 1)),
            ((1 - tie) * for_a, replace(self, for_a=self.for_a + one, votes=self.votes + 1)),
            ((1 - tie) * (1 - for_a), replace(self, for_b=self.for_b + one, votes=self.votes + 1)),
        )
        return sum(chance * each._expected(rule, votes - 1) for chance, each in after)


def next_orders(
    format_: Format, votes: Sequence[Vote], config: VotesConfig, count: int, pair_hash: str
) -> tuple[str, ...]:
    """The orders to ask next; empty once the votes suffice or the budget is spent.

    Rounds are swap-balanced. An order without a verdict is asked again before the next round, from
    the same budget; a round that the budget cannot complete is not begun.

    Args:
        format_: the judging format.
        votes: every vote so far, in the order asked.
        config: budget and stop rule.
        count: number of candidates.
        pair_hash: the row's identity, from which a ranking's permutations derive, and by which
            equal gains are told apart.
    """
    answered = Counter(vote.order for vote in parsed_of(votes))
    if format_.family == "reward":  # asked again it would say the same
        return () if answered or len(standing(votes)) >= config.max_votes else ("",)
    enough = answered.total() >= config.min_votes
    left = config.max_votes - len(standing(votes))
    for number in itertools.count():
        orders = format_.orders(count, number, pair_hash)
        missing = tuple(order for order in orders if not answered[order])
        if missing:
            break
        answered.subtract(orders)
    round_begun = len(missing) < len(orders) or number == 0
    if not round_begun and enough:
        rule = stop_rule(config)
        if config.stop == "threshold" and settled(format_, votes, rule, left):
            return ()
        if config.stop == "gain":
            gain = round_gain(format_, votes, rule, len(orders))
            if _of_pair(gain, pair_hash) < config.least_gain:
                return ()
    return missing if len(missing) <= left else ()


def _of_pair(gain: float, pair_hash: str) -> float:
    """A gain as it is compared with a price: those of one step are told apart by their pairs.

    Counts of votes are few, and many pairs gain the same: a price between two steps is paid by a
    share of them, always the same pairs. A gain of less than a step is none.
    """
    steps = math.floor(gain * GAIN_STEPS)
    luck = int(digest("gain", pair_hash)[:8], 16) / 2**32
    return (steps + luck) / GAIN_STEPS if steps else 0.0


def round_gain(format_: Format, votes: Sequence[Vote], rule: Rule, a_round: int) -> float:
    """What another round is expected to gain: in a ranking, for the pair that gains most.

    Args:
        format_: the judging format.
        votes: every vote so far.
        rule: the stop rule.
        a_round: how many votes a round has.
    """
    match format_.about:
        case "pair":
            return Evidence.of(votes, rule).gain(rule, a_round)
        case "ranking":
            pairs = pairs_of(parsed_of(votes)).values()
            return max((Evidence.of(pair, rule).gain(rule, a_round) for pair in pairs), default=0.0)
        case "score":
            return 0.0  # a mean needs min_votes and no more


def settled(format_: Format, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
    """Whether the votes decide everything they can, so that more votes change nothing.

    Args:
        format_: the judging format.
        votes: every vote so far.
        rule: the stop rule.
        more: how many more votes the budget allows.
    """
    if format_.family == "reward":
        return True
    match format_.about:
        case "pair":
            return Evidence.of(votes, rule).settled(rule, more, orders=1 if format_.apart else 2)
        case "ranking":
            pairs = pairs_of(parsed_of(votes)).values()
            return all(Evidence.of(pair, rule).settled(rule, more) for pair in pairs)
        case "score":
            return True  # a mean needs min_votes and no more


def pairs_of(votes: Sequence[Vote]) -> dict[tuple[int, int], list[Vote]]:
    """Votes about several candidates as votes about every two of them, by their indices."""
    count = len(votes[0].order) if votes else 0
    return {
        (first, second): [vote.between(first, second) for vote in votes]
        for first, second in itertools.combinations(range(count), 2)
    }


def _for_sides(vote: Vote, rule: Rule) -> tuple[float, float]:
    """How much a parsed vote counts for ``a``, and for ``b``."""
    if vote.choice == "tie":
        return 0.0, 0.0
    if vote.soft_a is not None:
        weight = rule.soft_weight or vote.weight or 1.0
        return weight * vote.soft_a, weight * (1 - vote.soft_a)
    if rule.margin_scale > 0 and vote.margin is not None:
        gap = math.log(3) * vote.margin / rule.margin_scale
        return 1 / (1 + math.exp(-gap)), 1 / (1 + math.exp(gap))
    return (1.0, 0.0) if vote.choice == "a" else (0.0, 1.0)


@functools.lru_cache(100_000)
def _above_half(wins: float, losses: float, prior: float) -> float:
    from scipy.special import betainc  # see pipeline.stats.wilson

    # P(share > 1/2) under Beta(prior + wins, prior + losses), by the symmetry of betainc.
    return float(betainc(prior + losses, prior + wins, 0.5))
