"""What a rubric's criteria contribute: each one's scores by themselves, against label and gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.row_rubrics import stored_rubric
from pipeline.judging.votes import standing
from pipeline.stats.bootstrap import Deviation, Statistic, mean, pooled, share_of
from pipeline.stats.rank_agreement import ordered_pairs

MOST_CRITERIA = 30  # those that most rows are asked by; rows may have rubrics of their own
_MISSING = "criterion_missing"


def criteria_statistics(
    rows: Sequence[JudgedPair], judge: JudgeConfig
) -> dict[str, dict[str, Statistic]]:
    """Measures of each criterion, by its name; ``measure_titles`` has what each means.

    Args:
        rows: judged pairs.
        judge: whose rubric they were asked by, unless they have one of their own.
    """
    asked = [_asked(row, judge) for row in rows]
    counts = Counter(name for names in asked for name in names)
    found = {}
    for name, _ in counts.most_common(MOST_CRITERIA):
        about = [name in names for names in asked]
        measures = _of_criterion(rows, name, about, judge.declared_format.about)
        found[name] = {key: each for key, each in measures.items() if each.support}
    return found


def _of_criterion(
    rows: Sequence[JudgedPair], name: str, about: Sequence[bool], family: str
) -> dict[str, Statistic]:
    scores = [_scores(row, name) for row in rows]
    measures: dict[str, Statistic] = {
        "criterion_spread": Deviation(scores),
        _MISSING: pooled(
            [
                _missing(row, name) if there else (0, 0)
                for row, there in zip(rows, about, strict=True)
            ]
        ),
    }
    both = list(zip(rows, scores, strict=True))
    if family == "pair":
        return {
            "criterion_agreement": share_of([_agrees(row, each) for row, each in both]),
            "criterion_equal": share_of([each[0] == each[1] if each else None for each in scores]),
            "criterion_winner": mean([_of_side(row, each, loser=False) for row, each in both]),
            "criterion_loser": mean([_of_side(row, each, loser=True) for row, each in both]),
            **measures,
        }
    means = mean([sum(each) / len(each) if each else None for each in scores])
    if family == "ranking":
        alike = [ordered_pairs(each or None, row.pair["gold_scores"]) for row, each in both]
        measures["criterion_agreement"] = pooled([(right, count) for right, _, count in alike])
    return {"criterion_mean": means, **measures}


def _asked(row: JudgedPair, judge: JudgeConfig) -> tuple[str, ...]:
    """The criteria that a row was asked by."""
    own = row.label["rubric"]
    if own is None:
        return judge.declared_format.criteria
    return tuple(each.name for each in stored_rubric(own).criteria)


def _scores(row: JudgedPair, name: str) -> list[float]:
    """Each candidate's mean score by a criterion; empty without one."""
    stored: Sequence[Mapping[str, Any]] = row.label["criteria"] or ()
    return next((each["scores"] for each in stored if each["name"] == name), [])


def _missing(row: JudgedPair, name: str) -> tuple[float, float]:
    """(Votes without a score by a criterion, all votes that count)."""
    votes = standing(pair_measures.votes_of(row))
    return float(sum(name not in dict(vote.criteria) for vote in votes)), float(len(votes))


def _agrees(row: JudgedPair, scores: Sequence[float]) -> float | None:
    """Whether a criterion's scores alone prefer what a human prefers, where both prefer one."""
    if not scores or scores[0] == scores[1] or row.pair["gold"] not in ("a", "b"):
        return None
    return float((scores[0] > scores[1]) == (row.pair["gold"] == "a"))


def _of_side(row: JudgedPair, scores: Sequence[float], *, loser: bool) -> float | None:
    """The score of the candidate that the label prefers, or of the other one."""
    preferred = pair_measures.label_of(row)
    if not scores or preferred not in ("a", "b"):
        return None
    return scores[(preferred == "b") != loser]
