"""From votes to a label: what the votes of a row decide together.

``pipeline.aggregation.evidence`` has what they say, and when they suffice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.evidence import Evidence, pairs_of
from pipeline.aggregation.policy import Rule
from pipeline.judging.bundle import Format
from pipeline.judging.parsing import Criteria
from pipeline.judging.votes import Vote, criteria_rows, parsed_of, standing
from schemas.labels import Reason, Status

# Readable votes about a pair -> calibrated probability that a human prefers a.
Calibrated = Callable[[Sequence[Vote]], float]
_NO_BAND = (
    "what a point of a reward model's score is worth is not known: pairmill calibrate fits it to "
    "gold pairs, and policy.tie_band states it (0: the higher score wins)"
)


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
    criteria: Criteria = ()
    rationale: str | None = None

    def as_row(self) -> dict[str, object]:
        """The columns of labels v1 that a decision fills."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        scores = None if self.scores is None else list(self.scores)
        return row | {"scores": scores, "criteria": criteria_rows(self.criteria)}


def decide(
    format_: Format, votes: Sequence[Vote], rule: Rule, calibration: Calibration | None = None
) -> Decision:
    """The decision that the votes of a row lead to.

    Returns:
        quarantined unless every order of the first round has a verdict.
    """
    answered = {vote.order for vote in parsed_of(votes)}
    if not answered.issuperset(format_.orders(len(votes[0].order), 0, "")):
        return quarantined(votes)
    if format_.family == "reward":
        return decide_scores(votes, rule, calibration)
    calibrated = calibration.p_a if calibration else None
    match format_.about:
        case "pair":
            return decide_pair(votes, rule, calibrated)
        case "ranking":
            return decide_ranking(votes, rule)
        case "score":
            return decide_single(votes)


def decide_pair(
    votes: Sequence[Vote], rule: Rule, calibrated: Calibrated | None = None
) -> Decision:
    """Decides a pair by its parsed votes, of which there is at least one of each order.

    Args:
        votes: every vote of the pair.
        rule: how they are counted.
        calibrated: gives the calibrated probability that a human prefers ``a``.

    Returns:
        labeled, tie or abstained. ``confidence`` is the calibrated probability of the preferred
        candidate where there is one, else the posterior one of what was decided; of a tie it is
        always that. Whatever was decided with less than ``rule.min_confidence`` is undecided.
    """
    evidence, parsed = Evidence.of(votes, rule), parsed_of(votes)
    posterior = evidence.p_prefers_a(rule)
    p_a = calibrated(parsed) if calibrated else None
    outcome = evidence.outcome(rule)
    confidence = max(posterior, 1 - posterior)
    if outcome == "tie":
        confidence = evidence.p_ties(rule)
    elif outcome is not None and p_a is not None:
        confidence = p_a if outcome == "a" else 1 - p_a
    if confidence < rule.min_confidence:
        outcome = None
    status = _status(outcome, rule)
    agreeing = (vote for vote in parsed if vote.choice == outcome)
    return Decision(
        status=status,
        preference=outcome if status is Status.LABELED else None,
        tie_kind=_tie_kind(parsed) if status is Status.TIE else None,
        p_a=p_a,
        p_a_raw=fmean(vote.share_a for vote in parsed),
        margin=_mean_margin(parsed),
        scores=mean_scores(parsed),
        criteria=mean_criteria(parsed),
        confidence=confidence,
        position_consistent=position_consistent(parsed),
        rationale=next(agreeing, parsed[0]).rationale,
    )


def decide_scores(
    votes: Sequence[Vote], rule: Rule, calibration: Calibration | None = None
) -> Decision:
    """Decides a pair by a reward model's scores, of which there is at least one vote.

    Args:
        votes: every vote of the pair.
        rule: has the tie band, if the policy gives one.
        calibration: has the fitted one, and gives the probability that a human prefers ``a``.

    Returns:
        labeled, tie or abstained. Without a tie band every pair is undecided. ``confidence`` is the
        calibrated probability of the preferred candidate; of a tie it is the share of gold pairs
        within the fitted band that people called one. Without a calibration there is none, and
        what is undecided has none.
    """
    parsed = parsed_of(votes)
    margin = _mean_margin(parsed) or 0.0
    fitted = calibration.tie_band if calibration else None
    band = rule.tie_band if rule.tie_band is not None else fitted.margin if fitted else None
    p_a = calibration.p_a(parsed) if calibration else None
    outcome, confidence = None, None
    detail = _NO_BAND if band is None else None
    if band is not None and abs(margin) <= band:
        outcome, confidence = "tie", fitted.ties if fitted else None
    elif band is not None:
        outcome = "a" if margin > 0 else "b"
        confidence = p_a if p_a is None or outcome == "a" else 1 - p_a
    if rule.min_confidence and (confidence is None or confidence < rule.min_confidence):
        outcome = None
    status = _status(outcome, rule)
    return Decision(
        status=status,
        preference=outcome if status is Status.LABELED else None,
        detail=detail,
        p_a=p_a,
        p_a_raw=(1 + (margin > 0) - (margin < 0)) / 2,
        margin=margin,
        scores=mean_scores(parsed),
        confidence=confidence,
    )


def decide_ranking(votes: Sequence[Vote], rule: Rule) -> Decision:
    """Decides a ranking: labeled if any two candidates are ordered, a tie if all are equal.

    ``confidence`` is the mean over all pairs of candidates; :func:`pairs_of` has the pairs.
    """
    parsed = parsed_of(votes)
    pairs = [decide_pair(pair, rule) for pair in pairs_of(parsed).values()]
    statuses = {pair.status for pair in pairs}
    if Status.LABELED in statuses:
        status = Status.LABELED
    else:
        status = Status.TIE if statuses == {Status.TIE} else Status.ABSTAINED
    return Decision(
        status=status,
        scores=mean_scores(parsed),
        criteria=mean_criteria(parsed),
        confidence=fmean(float(pair.confidence or 0) for pair in pairs),
        position_consistent=all(pair.position_consistent for pair in pairs),
        rationale=parsed[0].rationale,
    )


def decide_single(votes: Sequence[Vote]) -> Decision:
    """Labels a single candidate with the mean of its scores."""
    parsed = parsed_of(votes)
    return Decision(
        status=Status.LABELED,
        scores=mean_scores(parsed),
        criteria=mean_criteria(parsed),
        rationale=parsed[0].rationale,
    )


def quarantined(votes: Sequence[Vote]) -> Decision:
    """The decision about a row whose budget is spent before each order had a verdict."""
    tried = standing(votes)
    failed = [vote for vote in tried if not vote.parsed]
    return Decision(
        status=Status.QUARANTINED,
        reason=Reason(failed[-1].outcome),
        detail=f"{len(failed)} of {len(tried)} replies unparseable; last, order "
        f"{failed[-1].order}: {failed[-1].detail}",
    )


def mean_scores(parsed: Sequence[Vote]) -> tuple[float, ...] | None:
    """Each candidate's mean score; None where the format has no scores."""
    if not parsed or not parsed[0].scores:
        return None
    return tuple(fmean(scores) for scores in zip(*(v.scores for v in parsed), strict=True))


def mean_criteria(parsed: Sequence[Vote]) -> Criteria:
    """Each criterion's mean score for each candidate; empty without criteria."""
    by_name: dict[str, list[tuple[float, ...]]] = {}
    for vote in parsed:  # replies may name criteria of their own
        for name, scores in vote.criteria:
            by_name.setdefault(name, []).append(scores)
    return tuple(
        (name, tuple(fmean(each) for each in zip(*of, strict=True))) for name, of in by_name.items()
    )


def position_consistent(parsed: Sequence[Vote]) -> bool | None:
    """Whether the votes of each order, taken alone, agree about a pair; None of one order."""
    sums: dict[str, float] = defaultdict(float)
    for vote in parsed:
        sums[vote.order] += 2 * vote.share_a - 1
    if len(sums) == 1 and len(parsed[0].order) > 1:
        return None
    return len({(total > 0) - (total < 0) for total in sums.values()}) == 1


def _status(outcome: str | None, rule: Rule) -> Status:
    if outcome in ("a", "b"):
        return Status.LABELED
    tie = outcome == "tie" or rule.undecided == "tie"
    return Status.TIE if tie else Status.ABSTAINED


def _tie_kind(parsed: Sequence[Vote]) -> str | None:
    options = Counter(vote.option for vote in parsed)
    good, bad = options["both_good"], options["both_bad"]
    return None if good == bad else "good" if good > bad else "bad"


def _mean_margin(parsed: Sequence[Vote]) -> float | None:
    margins = [vote.margin for vote in parsed if vote.margin is not None]
    return fmean(margins) if margins else None
