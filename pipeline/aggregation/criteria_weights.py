"""Weights of a rubric's criteria: a policy, which makes scores of votes and changes no vote.

A row with a rubric of its own has the weights of that, and the policy's where it names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.aggregation.policy import PolicyConfig
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.row_rubrics import stored_rubric
from pipeline.judging.votes import Vote
from pipeline.runtime.errors import ConfigError


def weights_of(judge: JudgeConfig, policy: PolicyConfig) -> dict[str, float]:
    """How much each criterion of a judge counts: by the policy, else by its rubric.

    Raises:
        ConfigError: the policy names a criterion that the judge does not have.
    """
    known = judge.declared_format.criteria
    if (unknown := sorted(policy.weights.keys() - set(known))) and not _of_rows(judge):
        raise ConfigError(
            f"policy.weights: {unknown[0]!r} is no criterion of this judge; "
            + (f"it has {', '.join(known)}" if known else "it has none")
        )
    return _by_policy(judge.rubric.weights if judge.rubric else {}, known, policy.weights)


def weights_of_rows(judge: JudgeConfig, policy: PolicyConfig) -> dict[str, float]:
    """What a policy says of criteria that rows have of their own; empty where no row has any."""
    return dict(policy.weights) if _of_rows(judge) else {}


def weights_of_row(rubric: str, given: Mapping[str, float]) -> dict[str, float]:
    """How much each criterion of a row's own rubric counts.

    Args:
        rubric: as the row's label stores it.
        given: of :func:`weights_of_rows`.
    """
    own = stored_rubric(rubric)
    return _by_policy(own.weights, [each.name for each in own.criteria], given)


def weighted(votes: Sequence[Vote], weights: Mapping[str, float]) -> list[Vote]:
    """Votes whose scores are the weighted means of their criteria's; others as they are.

    They take the place of an option that a reply has beside its scores.
    """
    if not weights:
        return list(votes)
    return [_weighted(vote, weights) for vote in votes]


def _of_rows(judge: JudgeConfig) -> bool:
    return judge.rubric is not None and judge.rubric.metadata is not None


def _by_policy(
    own: Mapping[str, float], known: Sequence[str], given: Mapping[str, float]
) -> dict[str, float]:
    stated = {name: weight for name, weight in given.items() if name in known}
    if stated and not own:  # a score for all together would decide
        own = dict.fromkeys(known, 0.0)
    return {**own, **stated}


def _weighted(vote: Vote, weights: Mapping[str, float]) -> Vote:
    counted = [(weights.get(name, 0.0), scores) for name, scores in vote.criteria]
    total = sum(weight for weight, _ in counted)
    if total == 0:
        return vote
    sums = zip(*([weight * score for score in scores] for weight, scores in counted), strict=True)
    scores = tuple(sum(each) / total for each in sums)
    return replace(vote, scores=scores, option=None, soft_a=None)
