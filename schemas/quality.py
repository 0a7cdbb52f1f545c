"""quality v1: what was measured of a snapshot's labels, in one JSON object beside its manifest.

The gate decides by it, the report shows it, and the next snapshot's drift is measured against it,
so that no snapshot is read a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.error_bounds import ErrorBound
from schemas.labels import Status
from schemas.manifest import OUTCOMES
from schemas.pairs import GOLD_VALUES
from schemas.records import Record

# The shares under `rates`. Rows are of the snapshot, in which each input row is one; "judged" rows
# are those with a label, a tie or an abstention.
RATES = {
    "tie": "ties, of judged rows",
    "abstain": "abstentions, of judged rows",
    "quarantine": "quarantined rows, of judged and quarantined ones",
    "truncation": "replies cut off at the token limit, of all votes",
    "unreadable": "replies without a verdict, for any reason, of all votes",
    "position_consistency": "pairs whose two orders give the same label, of judged pairs",
    "first_slot_wins": "votes for the candidate shown first, of parsed votes for either one",
    "preference_a": "labels that prefer a, of labeled pairs",
    "longer_wins": "labels that prefer the longer text, of sampled labeled pairs of texts that "
    "differ in length",
    "gold_longer_wins": "the same of a human's preferences, on sampled pairs that have them",
    "gold_agreement": "labels that prefer what a human prefers, of the corpus' pairs where both "
    "prefer one; of ranked groups, their pairs that a human orders and that are ordered alike",
    "gold_agreement_all": "labels that are the human's, ties included, of all pairs with gold: a "
    "tie for a preference, an abstention and a quarantined pair are wrong",
    "canary_agreement": "as gold_agreement, of the canaries that the run judged again",
    "canary_agreement_all": "as gold_agreement_all, of the canaries that the run judged again",
}

# The histograms; values outside of the edges are counted in the outermost bins.
HISTOGRAMS = {
    "margin": "judged pairs by mean score of a less that of b",
    "confidence": "judged rows by confidence",
    "p_a": "judged pairs by probability that a is preferred: calibrated, or the share of votes "
    "where there is no calibration",
    "votes_per_pair": "judged and quarantined rows by votes, unparseable ones included",
    "output_tokens": "votes by tokens written",
    "length_ratio": "sampled labeled pairs by length of a's text over that of b",
    "length_ratio_a": "those of them that prefer a",
}
# Columns of a table of agreement; its rows are GOLD_VALUES.
AGREEMENT_LABELS = ("a", "b", Status.TIE.value, Status.ABSTAINED.value, Status.QUARANTINED.value)
_SHAPE = [len(AGREEMENT_LABELS)] * len(GOLD_VALUES)
TOKENS = ("prompt", "output", "cached")


@dataclass(frozen=True)
class Rate:
    """A share, with its 95 % interval; None in all three where there is nothing to measure it on.

    Attributes:
        low, high: None also where the pairs are of too few different prompts to tell.
        n: how many rows, pairs or votes it is a share of.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def ordered(self) -> bool:
        """Whether it lies in its interval where it has one, or is not measured at all."""
        ends = [end for end in (self.low, self.value, self.high) if end is not None]
        if (self.value is None) == (self.n > 0) or (self.low is None) != (self.high is None):
            return False
        return len(ends) in (0, 1, 3) and ends == sorted(ends)


NOT_MEASURED = Rate(None, None, None, 0)


@dataclass(frozen=True)
class Probed:
    """What one probe showed of a judge (see ``schemas.probes``).

    Attributes:
        kind: an ``attack`` with its placebo, or a ``picture`` control.
        effect: of an attack, the share of pairs that it turned less that which its placebo turned;
            of a control, the share of right labels that the pictures are worth. ``n`` are the
            pairs that both were compared on.
        changed: pairs that changed as the probe tests for, and not with the placebo: turned to the
            worse answer; of a control, right with the true pictures alone.
        back: those of which the opposite holds.
        left_out: pairs that this probe does not fit, by reason.
        held_out: whether no metric of the gate counts it.
    """

    kind: Literal["attack", "picture"]
    effect: Rate
    changed: int
    back: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    held_out: bool = False


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, one edge more than counts; a bin holds its lower edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Agreement:
    """Labels against gold.

    Attributes:
        source: URI of the gold pairs.
        pairs: how many have gold and a row in the snapshot (or among the canaries).
        confusion: pairs by gold (rows, ``GOLD_VALUES``) and label (columns,
            ``AGREEMENT_LABELS``); None of formats whose gold are scores.
        stated, observed, counts: a calibration curve: for every bin that is not empty the mean
            probability that a is preferred, the share that a human prefers (ties are one half),
            and the number of pairs.
    """

    source: str
    pairs: int
    confusion: tuple[tuple[int, ...], ...] | None
    stated: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def shape(self) -> list[int]:
        """How many columns each row of the confusion has; empty where there is none."""
        return [len(row) for row in self.confusion or ()]


@dataclass(frozen=True)
class Criterion:
    """One criterion of a rubric, by the mean scores of each candidate.

    Attributes:
        rows: judged rows that have scores of it.
        equal: the share of them whose candidates have the same score.
        labeled: pairs of them with a label.
        winner, loser: of these, the mean score of the preferred candidate and of the other one;
            None where there is none.
        mean, spread: of all scores, their mean and standard deviation.
        gold: pairs of which people prefer one candidate, and the criterion's scores differ.
        gold_agreement: the share of them in which the criterion alone prefers the same one.
    """

    rows: int
    equal: float
    labeled: int
    winner: float | None
    loser: float | None
    mean: float
    spread: float
    gold: int = 0
    gold_agreement: float | None = None


@dataclass(frozen=True)
class PanelJudgeQuality:
    """One judge of a panel.

    Attributes:
        weight: log-odds of a verdict for a side; 1 where families vote.
        family: judges that are alike have the same number.
        decided, right: gold pairs of which people and the judge prefer a side, and those where it
            is the same; ``reliability`` is (right + 1) / (decided + 2). None without gold.
    """

    judge_id: str
    weight: float
    family: int
    decided: int | None
    right: int | None
    reliability: float | None


@dataclass(frozen=True)
class PanelQuality:
    """What is known of a panel's judges, by the gold pairs that it was fitted to.

    Attributes:
        by: how they are combined.
        effective_judges: how many independent judges their errors are worth; None without gold.
        gold_pairs: of the fit.
        figures: of pairs that a fit had not seen; ``right`` beside that of the best judge alone.
    """

    by: str
    effective_judges: float | None
    gold_pairs: int
    judges: tuple[PanelJudgeQuality, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Drift:
    """What changed since another snapshot.

    Attributes:
        against: the snapshot that was live; None where there was none.
        detail: for people: what limits the comparison, or why it cannot be made.
        judge_changed: whether the two are by different judges.
        p_a_psi: population stability index of the histogram ``p_a``; 0 is no change, 0.1 little,
            0.25 much. ``n`` is the smaller of both numbers of pairs.
        preference_a_change: ``preference_a`` less that of the other, with its sign.
    """

    against: str | None
    detail: str
    judge_changed: bool
    p_a_psi: Rate
    preference_a_change: Rate


@dataclass(frozen=True)
class Quality(Record):
    """The quality of one snapshot.

    Attributes:
        format: the judge's answer format.
        rows: input rows, and ``counts`` of them by outcome.
        quarantined_by_reason: rows.
        votes: all of them, and ``votes_by_outcome``.
        tokens: sums over all votes, ``TOKENS``.
        calibrated: whether the histogram ``p_a`` and the curves are of calibrated probabilities.
        rates: ``RATES`` by name, every one of them.
        histograms: ``HISTOGRAMS`` by name, every one of them.
        gold: of the corpus itself; None where none of its rows has gold.
        canary: of the run's canaries; None where it had none.
        drift: against the snapshot before.
        notes: for people: what could not be read or measured, and why.
        bound: how often its preferences are wrong at most, as the manifest has it.
        audit: the share of its preferences that agree with people, by pairs drawn from it; None
            where no gold set was drawn.
        criteria: those of the judge's rubric, or of the rows' own, by name.
        probes: of the judge, by name; empty where the gate asks for none.
        panel: how the judges of a panel are weighed, and how reliable each is; None of others.
        decided_by: judged rows by who decided them, as labels have it: of a cascade, how many each
            tier has settled.
    """

    remedy = "pairmill publish --measure with the snapshot's id writes it again"

    version: Literal["quality/v1"] = field(default="quality/v1", kw_only=True)
    snapshot_id: str
    judge_id: str
    format: str
    rows: int
    counts: Mapping[str, int]
    quarantined_by_reason: Mapping[str, int]
    votes: int
    votes_by_outcome: Mapping[str, int]
    tokens: Mapping[str, int]
    calibrated: bool
    rates: Mapping[str, Rate]
    histograms: Mapping[str, Histogram]
    gold: Agreement | None
    canary: Agreement | None
    drift: Drift
    notes: tuple[str, ...] = ()
    bound: ErrorBound | None = None
    audit: Rate | None = None
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    probes: Mapping[str, Probed] = field(default_factory=dict)
    panel: PanelQuality | None = None
    decided_by: Mapping[str, int] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Which names, sums, intervals and shapes contradict the others."""
        names = (
            ("counts", self.counts, OUTCOMES),
            ("rates", self.rates, RATES),
            ("histograms", self.histograms, HISTOGRAMS),
            ("tokens", self.tokens, TOKENS),
        )
        quarantined = self.counts.get(Status.QUARANTINED, 0)
        sums = (
            ("counts", self.counts, self.rows),
            ("votes_by_outcome", self.votes_by_outcome, self.votes),
            ("quarantined_by_reason", self.quarantined_by_reason, quarantined),
        )
        audit = {} if self.audit is None else {"audit": self.audit}
        drift = audit | {"p_a_psi": self.drift.p_a_psi, "change": self.drift.preference_a_change}
        return [
            *(
                f"{name} are {sorted(got)}, expected {sorted(expected)}"
                for name, got, expected in names
                if set(got) != set(expected)
            ),
            *(
                f"{name}: they sum to {sum(got.values())}, expected {expected}"
                for name, got, expected in sums
                if sum(got.values()) != expected
            ),
            *(
                f"{name}: low, value, high and n are {rate}"
                for name, rate in {**self.rates, **drift}.items()
                if not rate.ordered
            ),
            *(
                f"histogram {name}: {len(histogram.edges)} edges, {len(histogram.counts)} counts"
                for name, histogram in self.histograms.items()
                if len(histogram.edges) != len(histogram.counts) + 1
            ),
            *(
                f"{name}: the confusion has rows of {agreement.shape} columns"
                for name, agreement in (("gold", self.gold), ("canary", self.canary))
                if agreement and agreement.shape not in ([], _SHAPE)
            ),
        ]
