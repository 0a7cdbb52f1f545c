"""The judging formats: what each asks about, reads out of a reply, and makes of the votes.

A format is independent of what the candidates are made of (text, images, videos): that is in the
prompt (``pipeline.core.prompts``) and in :mod:`pipeline.core.row_checks`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core.config import FormatName, PolicyConfig, VotesConfig
from pipeline.core.parsing import Unreadable, Verdict, parse_option, parse_scores
from pipeline.core.votes import Vote, readable_of, round_orders
from pipeline.core.voting import (
    Calibrated,
    Decision,
    Evidence,
    Rule,
    decide_pair,
    decide_ranking,
    decide_single,
    pairs_of,
    quarantined,
)

MOST_CANDIDATES = 10  # a longer list is beyond what a judge keeps apart, and what a reply is for


class Format(Protocol):
    """One judging format."""

    @property
    def counts(self) -> tuple[int, int]:
        """The least and the most candidates that it takes."""

    @property
    def scale(self) -> tuple[int, int] | None:
        """The lowest and the highest score, or None without scores."""

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unreadable:
        """Reads a reply about ``count`` candidates."""

    def settled(self, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
        """Whether the votes suffice, or ``more`` of them could not decide either."""

    def decide(self, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None) -> Decision:
        """What votes with a verdict of every order say together."""


@dataclass(frozen=True)
class Pairwise:
    """Two candidates, by scores or by options."""

    scale: tuple[int, int] | None
    counts: tuple[int, int] = (2, 2)

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unreadable:
        """Reads two scores, or one option."""
        if self.scale is None:
            return parse_option(reply, finish_reason)
        return parse_scores(reply, finish_reason, count, self.scale)

    def settled(self, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
        """Whether the posterior decides, or cannot be made to."""
        evidence = Evidence.of(votes, rule)
        return evidence.outcome(rule) is not None or not evidence.decidable(rule, more)

    def decide(self, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None) -> Decision:
        """A preference, a tie or an abstention."""
        return decide_pair(votes, rule, calibrated)


@dataclass(frozen=True)
class Ranking:
    """Several candidates, each scored beside the others; every two of them make a pair."""

    scale: tuple[int, int] = (1, 10)
    counts: tuple[int, int] = (2, MOST_CANDIDATES)

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unreadable:
        """Reads a score for each candidate; equal scores are read as a tie of those two."""
        return parse_scores(reply, finish_reason, count, self.scale)

    def settled(self, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
        """Whether every two candidates are decided, or cannot be."""
        pairs = (Evidence.of(pair, rule) for pair in pairs_of(readable_of(votes)).values())
        return all(
            pair.outcome(rule) is not None or not pair.decidable(rule, more) for pair in pairs
        )

    def decide(self, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None) -> Decision:
        """Mean scores, and whether any two candidates are ordered."""
        return decide_ranking(votes, rule)


@dataclass(frozen=True)
class Single:
    """One candidate, scored by itself."""

    scale: tuple[int, int] = (1, 5)
    counts: tuple[int, int] = (1, 1)

    def parse(self, reply: str, finish_reason: str | None, count: int) -> Verdict | Unreadable:
        """Reads one score."""
        return parse_scores(reply, finish_reason, count, self.scale)

    def settled(self, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
        """A mean needs no more than the least number of votes."""
        return True

    def decide(self, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None) -> Decision:
        """The mean score."""
        return decide_single(votes)


FORMATS: dict[FormatName, Format] = {
    "pairwise_scores": Pairwise(scale=(1, 10)),
    "pairwise_options": Pairwise(scale=None),
    "single_score": Single(),
    "batch_ranking": Ranking(),
}


def replies_a_round(format_: FormatName) -> int:
    """How many replies a row's first round asks for: one for each order of its candidates."""
    return len(round_orders(FORMATS[format_].counts[0], 0, ""))


def stop_rule(votes: VotesConfig) -> Rule:
    """The rule by which a judge asks for more votes."""
    return Rule(
        prior=votes.prior,
        margin_scale=votes.margin_scale,
        threshold=votes.threshold,
        tie_threshold=votes.tie_threshold,
    )


def label_rule(votes: VotesConfig, policy: PolicyConfig) -> Rule:
    """The rule by which votes become a label: the judge's own where the policy says nothing."""
    given = policy.model_dump(exclude_none=True)
    return Rule(**{**stop_rule(votes).__dict__, **given})


def next_orders(
    format_: Format, votes: Sequence[Vote], config: VotesConfig, count: int, pair_hash: str
) -> tuple[str, ...]:
    """The orders to ask next; empty once the votes suffice or the budget is spent.

    Rounds are swap-balanced. An order without a verdict is asked again before a new round begins,
    from the same budget; a round that the budget cannot complete is not begun.

    Args:
        format_: the judging format.
        votes: every vote so far, in the order asked.
        config: budget and stop rule.
        count: number of candidates.
        pair_hash: the row's identity, from which a ranking's permutations derive.
    """
    answered = Counter(vote.order for vote in readable_of(votes))
    enough = answered.total() >= config.min_votes
    left = config.max_votes - len(votes)
    for number in itertools.count():
        orders = round_orders(count, number, pair_hash)
        missing = tuple(order for order in orders if not answered[order])
        if missing:
            break
        answered.subtract(orders)
    round_begun = len(missing) < len(orders) or number == 0
    if not round_begun and enough and format_.settled(votes, stop_rule(config), left):
        return ()
    return missing if len(missing) <= left else ()


def decide(
    format_: Format, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None = None
) -> Decision:
    """What the votes of a row say together.

    Returns:
        quarantined unless every order of the first round has a verdict.
    """
    answered = {vote.order for vote in readable_of(votes)}
    if not answered.issuperset(round_orders(len(votes[0].order), 0, "")):
        return quarantined(votes)
    return format_.decide(votes, rule, calibrated)
