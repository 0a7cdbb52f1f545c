"""From votes to a label: when the votes of a row suffice, and what they decide together.

A verdict is one random sample: each vote for ``a`` or ``b`` is evidence about the share of the
judge's votes that ``a`` would get in the long run. That share has a Beta posterior; a pair is
decided once the share is on one side of one half with a posterior probability of ``threshold``.
Whether the judge would mostly call a tie is decided likewise.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from scipy.special import betainc

from pipeline.aggregation.policy import Rule, stop_rule
from pipeline.judging.judge_config import VotesConfig
from pipeline.judging.judging_formats import Format
from pipeline.judging.votes import Vote, readable_of, round_orders
from schemas.labels import Reason, Status

# Readable votes about a pair -> calibrated probability that a human prefers a.
Calibrated = Callable[[Sequence[Vote]], float]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the votes of a row decide together (see labels v1 for the fields)."""

    status: Status
    preference: str | None = None
    tie_kind: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    p_a: float | None = None
    p_a_raw: float | None = None
    margin: float | None = None
    scores: tuple[float, ...] | None = None
    confidence: float | None = None
    position_consistent: bool | None = None
    rationale: str | None = None

    def as_row(self) -> dict[str, object]:
        """The columns of labels v1 that a decision fills."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {"scores": None if self.scores is None else list(self.scores)}


@dataclass(frozen=True)
class Evidence:
    """The readable votes about a pair, counted.

    Attributes:
        for_a, for_b: votes for each candidate, a tie half for each.
        ties: votes that call a tie.
        votes: how many there are.
    """

    for_a: float
    for_b: float
    ties: int
    votes: int

    @classmethod
    def of(cls, votes: Sequence[Vote], rule: Rule) -> Evidence:
        """Counts the readable ones of ``votes``."""
        readable = readable_of(votes)
        for_a = sum(_for_a(vote, rule.margin_scale) for vote in readable)
        ties = sum(vote.choice == "tie" for vote in readable)
        return cls(for_a, len(readable) - for_a, ties, len(readable))

    def p_prefers_a(self, rule: Rule) -> float:
        """Posterior probability that the judge mostly prefers ``a``."""
        return _above_half(self.for_a, self.for_b, rule.prior)

    def p_ties(self, rule: Rule) -> float:
        """Posterior probability that the judge mostly calls a tie."""
        return _above_half(self.ties, self.votes - self.ties, rule.prior)

    def outcome(self, rule: Rule) -> str | None:
        """``"a"``, ``"b"`` or ``"tie"``; None if the votes do not decide."""
        p_a = self.p_prefers_a(rule)
        if max(p_a, 1 - p_a) >= rule.threshold:
            return "a" if p_a > 0.5 else "b"
        return "tie" if self.p_ties(rule) >= rule.tie_threshold else None

    def settled(self, rule: Rule, more: int) -> bool:
        """Whether the votes decide, or ``more`` of them could not decide either."""
        return self.outcome(rule) is not None or not self.decidable(rule, more)

    def decidable(self, rule: Rule, more: int) -> bool:
        """Whether ``more`` votes, all for the same outcome, would decide."""
        shares = ((more, 0.0, 0), (0.0, more, 0), (more / 2, more / 2, more))
        return any(
            Evidence(
                self.for_a + for_a, self.for_b + for_b, self.ties + ties, self.votes + more
            ).outcome(rule)
            is not None
            for for_a, for_b, ties in shares
        )


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
    if not round_begun and enough and settled(format_, votes, stop_rule(config), left):
        return ()
    return missing if len(missing) <= left else ()


def decide(
    format_: Format, votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None = None
) -> Decision:
    """The decision that the votes of a row lead to.

    Returns:
        quarantined unless every order of the first round has a verdict.
    """
    answered = {vote.order for vote in readable_of(votes)}
    if not answered.issuperset(round_orders(len(votes[0].order), 0, "")):
        return quarantined(votes)
    match format_.family:
        case "pair":
            return decide_pair(votes, rule, calibrated)
        case "ranking":
            return decide_ranking(votes, rule)
        case "score":
            return decide_single(votes)


def settled(format_: Format, votes: Sequence[Vote], rule: Rule, more: int) -> bool:
    """Whether the votes decide everything they can, so that more votes change nothing.

    Args:
        format_: the judging format.
        votes: every vote so far.
        rule: the stop rule.
        more: how many more votes the budget allows.
    """
    match format_.family:
        case "pair":
            return Evidence.of(votes, rule).settled(rule, more)
        case "ranking":
            pairs = pairs_of(readable_of(votes)).values()
            return all(Evidence.of(pair, rule).settled(rule, more) for pair in pairs)
        case "score":
            return True  # a mean needs min_votes and no more


def decide_pair(
    votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None = None
) -> Decision:
    """Decides a pair by its readable votes, of which there is at least one of each order.

    Args:
        votes: every vote of the pair.
        rule: how they are counted.
        calibrated: gives the calibrated probability that a human prefers ``a``.

    Returns:
        labeled, tie or abstained. ``confidence`` is the calibrated probability of the preferred
        candidate where there is one, else the posterior one of what was decided.
    """
    evidence, readable = Evidence.of(votes, rule), readable_of(votes)
    posterior = evidence.p_prefers_a(rule)
    p_a = calibrated(readable) if calibrated else None
    outcome = evidence.outcome(rule)
    confidence = max(posterior, 1 - posterior)
    if outcome == "tie":
        confidence = evidence.p_ties(rule)
    elif outcome is not None and p_a is not None:
        confidence = p_a if outcome == "a" else 1 - p_a
    if outcome != "tie" and confidence < rule.min_confidence:
        outcome = None
    status = _status(outcome, rule)
    choices = [str(vote.choice) for vote in readable]
    agreeing = (vote for vote in readable if vote.choice == outcome)
    return Decision(
        status=status,
        preference=outcome if status is Status.LABELED else None,
        tie_kind=_tie_kind(readable) if status is Status.TIE else None,
        p_a=p_a,
        p_a_raw=fmean({"a": 1.0, "tie": 0.5, "b": 0.0}[choice] for choice in choices),
        margin=_mean_margin(readable),
        scores=mean_scores(readable),
        confidence=confidence,
        position_consistent=position_consistent(readable),
        rationale=next(agreeing, readable[0]).rationale,
    )


def decide_ranking(votes: Sequence[Vote], rule: Rule) -> Decision:
    """Decides a ranking: labeled if any two candidates are ordered, a tie if all are equal.

    ``confidence`` is the mean over all pairs of candidates; :func:`pairs_of` has the pairs.
    """
    readable = readable_of(votes)
    pairs = [decide_pair(pair, rule) for pair in pairs_of(readable).values()]
    statuses = {pair.status for pair in pairs}
    if Status.LABELED in statuses:
        status = Status.LABELED
    else:
        status = Status.TIE if statuses == {Status.TIE} else Status.ABSTAINED
    return Decision(
        status=status,
        scores=mean_scores(readable),
        confidence=fmean(float(pair.confidence or 0) for pair in pairs),
        position_consistent=all(pair.position_consistent for pair in pairs),
        rationale=readable[0].rationale,
    )


def decide_single(votes: Sequence[Vote]) -> Decision:
    """Labels a single candidate with the mean of its scores."""
    readable = readable_of(votes)
    return Decision(
        status=Status.LABELED, scores=mean_scores(readable), rationale=readable[0].rationale
    )


def quarantined(votes: Sequence[Vote]) -> Decision:
    """The decision about a row whose budget is spent before each order had a verdict."""
    failed = [vote for vote in votes if not vote.readable]
    tried = f"{len(failed)} of {len(votes)} replies unparseable"
    return Decision(
        status=Status.QUARANTINED,
        reason=Reason(failed[-1].outcome),
        detail=f"{tried}; last, order {failed[-1].order}: {failed[-1].detail}",
    )


def pairs_of(votes: Sequence[Vote]) -> dict[tuple[int, int], list[Vote]]:
    """Votes about several candidates as votes about every two of them, by their indices."""
    count = len(votes[0].order) if votes else 0
    return {
        (first, second): [vote.between(first, second) for vote in votes]
        for first, second in itertools.combinations(range(count), 2)
    }


def mean_scores(readable: Sequence[Vote]) -> tuple[float, ...] | None:
    """Each candidate's mean score; None where the format has no scores."""
    if not readable or not readable[0].scores:
        return None
    return tuple(fmean(scores) for scores in zip(*(v.scores for v in readable), strict=True))


def position_consistent(readable: Sequence[Vote]) -> bool:
    """Whether the votes of each order, taken alone, agree about a pair."""
    signs = {"a": 1, "tie": 0, "b": -1}
    sums = Counter[str]()
    for vote in readable:
        sums[vote.order] += signs[str(vote.choice)]
    return len({(total > 0) - (total < 0) for total in sums.values()}) == 1


def _for_a(vote: Vote, margin_scale: float) -> float:
    if margin_scale > 0 and vote.margin is not None:
        return 1 / (1 + math.exp(-math.log(3) * vote.margin / margin_scale))
    return {"a": 1.0, "tie": 0.5, "b": 0.0}[str(vote.choice)]


@functools.lru_cache(100_000)
def _above_half(wins: float, losses: float, prior: float) -> float:
    # P(share > 1/2) under Beta(prior + wins, prior + losses), by the symmetry of betainc.
    return float(betainc(prior + losses, prior + wins, 0.5))


def _status(outcome: str | None, rule: Rule) -> Status:
    if outcome in ("a", "b"):
        return Status.LABELED
    tie = outcome == "tie" or rule.undecided == "tie"
    return Status.TIE if tie else Status.ABSTAINED


def _tie_kind(readable: Sequence[Vote]) -> str | None:
    options = Counter(vote.option for vote in readable)
    good, bad = options["both_good"], options["both_bad"]
    return None if good == bad else "good" if good > bad else "bad"


def _mean_margin(readable: Sequence[Vote]) -> float | None:
    margins = [vote.margin for vote in readable if vote.margin is not None]
    return fmean(margins) if margins else None
