"""Judged pairs for tests of agreement: labels made of stated votes by the software's own rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.aggregation.labeler import DECIDED, Labeler
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import LETTERS, Vote
from pipeline.lab.tiny_judge.asked_formats import FormatName
from schemas.labels import VERDICT
from tests.shards import pair, read, response


def vote(order: str, *scores: float, outcome: str = VERDICT, **more: Any) -> Vote:
    """A vote; scores are those of the candidates a, b, … whatever the order."""
    return Vote(order=order, seed=0, outcome=outcome, scores=scores, **more)


def option(order: str, chosen: str) -> Vote:
    """A vote for an option: a, b, both_good or both_bad."""
    return Vote(order=order, seed=0, outcome=VERDICT, option=chosen)


def failure(order: str, outcome: str = "malformed") -> Vote:
    """A reply that could not be read."""
    return Vote(order=order, seed=0, outcome=outcome)


def judged(
    votes: Sequence[Vote],
    gold: str | None = None,
    format_: FormatName = "pairwise_scores",
    **columns: Any,
) -> JudgedPair:
    """A pair and its label by these votes.

    Args:
        votes: in the order asked.
        gold: a human's preference.
        format_: of the judge.
        columns: other columns of the pair; ``texts`` are those of the two responses.
    """
    row = pair(0, gold=gold)
    a, b = columns.pop("texts", ("Answer", "Reply"))
    row |= {"response_a": response(a), "response_b": response(b), "images": None} | columns
    labeler = Labeler.of(JudgeConfig(format=format_))
    decision = labeler.decide(votes)
    label = {name: getattr(decision, name) for name in DECIDED}
    label |= {"votes": [each.as_row() for each in votes], "n_votes": len(votes), "cluster": None}
    label |= {"rubric": None, "criteria": decision.as_row()["criteria"]}
    return JudgedPair(read(row), label | {"policy_id": labeler.policy_id})


def ranked(scores: Sequence[float] | None, gold_scores: Sequence[float]) -> JudgedPair:
    """A row of several candidates (or one) that the judge gave ``scores`` in both orders."""
    format_: FormatName = "single_score" if len(gold_scores) == 1 else "batch_ranking"
    letters = LETTERS[: len(gold_scores)]
    orders = [letters] if len(letters) == 1 else [letters, letters[::-1]]
    if scores is None:
        votes = [failure(order) for order in orders]
    else:
        votes = [vote(order, *scores) for order in orders]
    return judged(votes, None, format_, gold_scores=list(gold_scores))
