"""Turns votes into labels: of one judge's format, under one policy, calibrated or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.criteria_weights import (
    weighted,
    weights_of,
    weights_of_row,
    weights_of_rows,
)
from pipeline.aggregation.decisions import Decision, decide
from pipeline.aggregation.policy import PolicyConfig, Rule, label_rule, policy_id
from pipeline.judging.bundle import Format
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote

# The columns of labels v1 that a decision fills, under the same names.
DECIDED = tuple(field.name for field in fields(Decision))


@dataclass(frozen=True)
class Labeler:
    """Everything between the votes of a row and its label; the same votes give the same label."""

    format: Format
    rule: Rule
    calibration: Calibration | None
    policy_id: str

    @classmethod
    def of(
        cls,
        judge: JudgeConfig,
        policy: PolicyConfig | None = None,
        calibration: Calibration | None = None,
    ) -> Labeler:
        """The labeler of a judge's votes.

        Args:
            judge: whose votes they are.
            policy: how they are counted; the default policy if not given.
            calibration: fitted to this judge's votes about gold pairs.
        """
        policy = policy or PolicyConfig()
        weights = tuple(sorted(weights_of(judge, policy).items()))
        of_rows = tuple(sorted(weights_of_rows(judge, policy).items()))
        rule = label_rule(judge.votes, policy)
        rule = replace(rule, weights=weights, row_weights=of_rows)
        identity = policy_id(rule, calibration.calibration_id if calibration else None)
        return cls(judge.declared_format, rule, calibration, identity)

    def at_least(self, confidence: float) -> Labeler:
        """The same, of which labels of less confidence are undecided."""
        rule = replace(self.rule, min_confidence=max(confidence, self.rule.min_confidence))
        fitted = self.calibration
        identity = policy_id(rule, fitted.calibration_id if fitted else None)
        return replace(self, rule=rule, policy_id=identity)

    def decide(self, votes: Sequence[Vote], rubric: str | None = None) -> Decision:
        """The label's decided columns.

        Args:
            votes: every vote of a row.
            rubric: the row's own, as labels store it.
        """
        return decide(self.format, self.weighted(votes, rubric), self.rule, self.calibration)

    def weighted(self, votes: Sequence[Vote], rubric: str | None = None) -> list[Vote]:
        """Votes with their scores by the weights of criteria; as :meth:`decide`."""
        if rubric is None:
            return weighted(votes, dict(self.rule.weights))
        return weighted(votes, weights_of_row(rubric, dict(self.rule.row_weights)))
