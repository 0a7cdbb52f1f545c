"""How votes are counted: the settings under ``policy``, the rule they make, and its identity."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.aggregation.davidson import MOST_ODDS, MOST_SPREAD, Davidson
from pipeline.judging.judge_config import VotesConfig
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.digest import digest


class PolicyConfig(Frozen):
    """How votes become a label.

    It changes no vote, so it is not part of the judge: labels can be derived again under another
    policy (``pairmill derive``) without an engine.
    """

    undecided: Literal["abstain", "tie"] = "abstain"
    """What a pair whose votes decide nothing becomes."""
    min_confidence: float = Field(default=0.0, ge=0, lt=1)
    """A label or a tie below this confidence becomes undecided."""
    prior: float | None = Field(default=None, gt=0)
    """By default those of ``judge.votes``."""
    margin_scale: float | None = Field(default=None, ge=0)
    """By default those of ``judge.votes``."""
    threshold: float | None = Field(default=None, gt=0.5, lt=1)
    """By default those of ``judge.votes``."""
    tie_threshold: float | None = Field(default=None, gt=0.5, lt=1)
    """By default those of ``judge.votes``."""
    tie_band: float | None = Field(default=None, ge=0)
    """Of a reward model: the gap of two scores up to which they are a tie; by default the one that
    its calibration was fitted with. Without either every pair is undecided: what a score's point is
    worth is not known. 0 prefers whichever score is higher.
    """
    soft_weight: float | None = Field(default=None, ge=1, le=4)
    """How many sampled votes a soft one counts for; by default as its judge had it."""
    tie_odds: float | None = Field(default=None, gt=0, le=MOST_ODDS)
    """Counts votes by Davidson's model in place of the Beta posterior, for judges that call ties:
    they then say that the two are nearly equal, and a label is a tie where the judge would mostly
    call one. How likely the judge is to call a tie of equals, against either side; ``pairmill
    calibrate`` fits it where 500 pairs have votes. Changes no vote: the stop rule is the judge's.
    ``prior`` and ``tie_threshold`` are of the Beta posterior: not beside it.
    """
    gap_spread: float | None = Field(default=None, gt=0, le=MOST_SPREAD)
    """Of ``tie_odds``: how far pairs are apart, a standard deviation in log-odds; 2 by default."""
    max_error: float | None = Field(default=None, gt=0, lt=0.5)
    """What share of a snapshot's preferences may disagree with people at most. ``publish`` finds
    the least confidence that keeps to it by the answers in ``gold.set``; below it a pair is
    undecided.
    """
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure ``max_error`` is."""
    loss: Literal["strict", "sided"] = "strict"
    """Whether a preference is wrong where people see a tie (``strict``), or that does not count."""
    bound_tries: int = Field(default=1, ge=1, le=100)
    """How many bounds may be tried on one gold set: other answers, policies, judges and
    calibrations each take one. Decide before the first: the chance to be wrong is divided
    among them.
    """
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """How much each criterion of a rubric counts; by default as ``judge.rubric`` says, or the
    row's own rubric.
    """

    @model_validator(mode="after")
    def _whole_model(self) -> Self:
        if self.gap_spread is not None and self.tie_odds is None:
            raise ValueError("gap_spread is of tie_odds; set both, or leave it")
        of_beta = [name for name in ("prior", "tie_threshold") if getattr(self, name) is not None]
        if self.tie_odds is not None and of_beta:
            raise ValueError(
                f"{' and '.join(of_beta)}: of the Beta posterior, in place of which tie_odds "
                "counts votes; leave the one or the other"
            )
        return self


# Of what a rule makes of votes, and part of every policy's identity: raise it with any change to
# that. In 1 a vote for a tie counted half for each side, and min_confidence reached no tie.
RULE_VERSION = 2
_GAP_SPREAD = 2.0


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How votes are counted, and how sure a label must be; both stop rule and label rule.

    Attributes:
        prior: both parameters of the Beta prior; 1 is uniform.
        margin_scale: score gap at which a vote counts three quarters for its side and one
            quarter for the other; 0 counts every vote whole.
        threshold: posterior probability that decides for a candidate.
        tie_threshold: posterior probability, of mostly ties, that decides for a tie.
        undecided: what a pair whose votes decide nothing becomes.
        min_confidence: a label or a tie below this confidence becomes undecided.
        tie_band: gap of a reward model's scores up to which they are a tie; None: the fitted one.
        soft_weight: how many sampled votes a soft one counts for; None: as it is stored.
        tie_odds, gap_spread: of Davidson's model, if votes are counted by it.
        weights: of criteria, by name; empty where votes have none, or a score of their own.
        row_weights: of criteria of rows with rubrics of their own, where the policy gives some.
    """

    prior: float = 1.0
    margin_scale: float = 0.0
    threshold: float = 0.85
    tie_threshold: float = 0.85
    undecided: Literal["abstain", "tie"] = "abstain"
    min_confidence: float = 0.0
    tie_band: float | None = None
    soft_weight: float | None = None
    tie_odds: float | None = None
    gap_spread: float | None = None
    weights: tuple[tuple[str, float], ...] = ()
    row_weights: tuple[tuple[str, float], ...] = ()

    @property
    def davidson(self) -> Davidson | None:
        """The model by which votes are counted; None: the Beta posterior."""
        if self.tie_odds is None:
            return None
        return Davidson(self.tie_odds, self.gap_spread or _GAP_SPREAD)


def stop_rule(votes: VotesConfig) -> Rule:
    """The rule by which a judge asks for more votes."""
    return Rule(
        prior=votes.prior,
        margin_scale=votes.margin_scale,
        threshold=votes.threshold,
        tie_threshold=votes.tie_threshold,
        soft_weight=votes.soft_weight if votes.soft_weight > 1 else None,
    )


def label_rule(votes: VotesConfig, policy: PolicyConfig) -> Rule:
    """The rule by which votes become a label: the policy's values, else the judge's."""
    names = {field.name for field in fields(Rule)} - {"weights"}
    given = policy.model_dump(exclude_none=True, include=names)
    return Rule(**{**stop_rule(votes).__dict__, **given})


def rule_record(rule: Rule) -> dict[str, object]:
    """A rule as JSON; without weights or a band where there are none, as before there were any."""
    record = asdict(rule)
    record |= {name: dict(record[name]) for name in ("weights", "row_weights")}
    return {name: value for name, value in record.items() if value not in ({}, None)}


def policy_id(rule: Rule, calibration_id: str | None) -> str:
    """Identity of what turned votes into a label: the rule, and the calibration if any."""
    counted = {**rule_record(rule), "version": RULE_VERSION}
    return digest(json.dumps(counted, sort_keys=True), calibration_id or "")
