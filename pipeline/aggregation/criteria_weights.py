"""Weights of a rubric's criteria: a policy, which makes scores of votes and changes no vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.runtime.errors import ConfigError


def weights_of(judge: JudgeConfig, policy: PolicyConfig) -> dict[str, float]:
    """How much each criterion of a judge counts: by the policy, else by its rubric.

    Raises:
        ConfigError: the policy names a criterion that the judge does not have.
    """
    known = judge.declared_format.criteria
    if unknown := sorted(policy.weights.keys() - set(known)):
        raise ConfigError(
            f"policy.weights: {unknown[0]!r} is no criterion of this judge; "
            + (f"it has {', '.join(known)}" if known else "it has none")
        )
    own = judge.rubric.weights if judge.rubric else {}
    if not own and policy.weights:
        own = dict.fromkeys(known, 0.0)
    return own | policy.weights


def weighted(votes: Sequence[Vote], weights: Mapping[str, float]) -> list[Vote]:
    """Votes whose scores are the weighted means of their criteria's; others as they are."""
    if not weights:
        return list(votes)
    return [_weighted(vote, weights) for vote in votes]


def _weighted(vote: Vote, weights: Mapping[str, float]) -> Vote:
    counted = [(weights.get(name, 0.0), scores) for name, scores in vote.criteria]
    total = sum(weight for weight, _ in counted)
    if total == 0:
        return vote
    sums = zip(*([weight * score for score in scores] for weight, scores in counted), strict=True)
    return replace(vote, scores=tuple(sum(each) / total for each in sums))
