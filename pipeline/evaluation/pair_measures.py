"""What one judged pair contributes to the measures: its label, gold, votes and lengths."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.judging.votes import Vote, standing
from pipeline.pairs.contents import candidate_texts
from pipeline.pairs.prompts import cluster_key
from schemas.labels import Status

_SHARE_OF_A = {"a": 1.0, "tie": 0.5, "b": 0.0}
# GenAI-Bench's four human votes, and the labels that are the same in other words.
FOUR_WAY = {"leftvote": "a", "rightvote": "b", "tievote": "good", "bothbad_vote": "bad"}


def prompt_of(judged: JudgedPair) -> int:
    """The key of the prompt's media, or of its text without any; pairs of one are alike."""
    return cluster_key(judged.label["cluster"], judged.pair["messages"])


def label_of(judged: JudgedPair) -> str:
    """One of ``AGREEMENT_LABELS``: the preference of a labelled pair, or its status."""
    label = judged.label
    return str(label["preference"] if label["status"] == Status.LABELED else label["status"])


def gold_share(judged: JudgedPair) -> float:
    """A human's share of preference for ``a``: 1.0 for ``a``, 0.0 for ``b``, 0.5 for a tie."""
    return _SHARE_OF_A[judged.pair["gold"]]


def right(judged: JudgedPair) -> float:
    """1 where the label is the gold one, ties included; else 0.

    A tie where gold prefers one, an abstention and a quarantined pair are not right.
    """
    return float(label_of(judged) == judged.pair["gold"])


def right_or_half(judged: JudgedPair) -> float:
    """As :func:`right`, with one half for a tie against a preference, either way around, for an
    abstention and for a quarantined pair."""
    label = label_of(judged)
    return 1 - abs(_SHARE_OF_A[label] - gold_share(judged)) if label in _SHARE_OF_A else 0.5


def decided(judged: JudgedPair) -> bool:
    """Whether both the judge and the human prefer one of the two."""
    return label_of(judged) in ("a", "b") and judged.pair["gold"] in ("a", "b")


def probability(judged: JudgedPair) -> float | None:
    """The calibrated probability that a human prefers ``a``; without one, the share of votes."""
    calibrated = judged.label["p_a"]
    p = judged.label["p_a_raw"] if calibrated is None else calibrated
    return None if p is None else float(p)


def confidence(judged: JudgedPair) -> float | None:
    """The label's confidence; None of a pair without a decision, which has none to rank by.

    Rounded: the same votes for ``a`` and for ``b`` must not differ in the last bits.
    """
    return round(judged.label["confidence"], 9) if label_of(judged) in _SHARE_OF_A else None


def right_votes(judged: JudgedPair, votes: Sequence[Vote]) -> tuple[float, float]:
    """(Votes for the gold choice, all votes): each taken alone, unreadable ones wrong."""
    choices = [vote.choice if vote.parsed else None for vote in standing(votes)]
    return float(choices.count(judged.pair["gold"])), float(len(choices))


def four_way_votes(judged: JudgedPair, votes: Sequence[Vote]) -> tuple[float, float]:
    """(Votes that are GenAI-Bench's human vote, votes shown ``a`` first); (0, 0) without one."""
    gold = FOUR_WAY.get(metadata(judged.pair).get("vote_type") or "")
    asked = [vote for vote in standing(votes) if vote.order == "ab"] if gold else []
    answers = [vote.option and vote.option.removeprefix("both_") for vote in asked]
    return float(answers.count(gold)), float(len(asked))


def four_way(judged: JudgedPair) -> float | None:
    """Whether the label is GenAI-Bench's human vote; None of a pair without one.

    A tie counts as good or bad as most of its votes do; without a majority it is wrong.
    """
    vote = metadata(judged.pair).get("vote_type")
    if vote not in FOUR_WAY:
        return None
    label = label_of(judged)
    answer = judged.label["tie_kind"] if label == Status.TIE else label
    return float(answer == FOUR_WAY[vote])


def lengths(judged: JudgedPair) -> tuple[int, int] | None:
    """Lengths of the two responses in characters; None unless both are texts."""
    texts = candidate_texts(judged.pair)
    if len(texts) != 2 or not (texts[0] and texts[1]):
        return None
    return len(texts[0]), len(texts[1])


def longer(judged: JudgedPair) -> str | None:
    """``"a"`` or ``"b"``, whichever text is longer; None if neither is."""
    sizes = lengths(judged)
    if sizes is None or sizes[0] == sizes[1]:
        return None
    return "a" if sizes[0] > sizes[1] else "b"


def votes_of(judged: JudgedPair) -> list[Vote]:
    """Every vote of the label."""
    return [Vote.from_row(row) for row in judged.label["votes"] or ()]


def first_slot(votes: Sequence[Vote]) -> tuple[float, float]:
    """(Votes for the candidate shown first, votes for either one); (0, 0) without both orders.

    Of candidates that were asked about apart none was first: their votes have one order or none.
    """
    parsed = [vote for vote in votes if vote.parsed]
    if len({vote.order for vote in parsed}) < 2:
        return 0.0, 0.0
    sided = [(vote.choice, vote.order[0]) for vote in parsed if vote.choice in ("a", "b")]
    return float(sum(choice == first for choice, first in sided)), float(len(sided))


def flips(votes: Sequence[Vote]) -> tuple[float, float]:
    """(Pairs of votes of the same order that disagree, all pairs of votes of the same order)."""
    parsed = sorted((v for v in votes if v.parsed), key=lambda vote: vote.order)
    disagreeing = count = 0
    for _, group in itertools.groupby(parsed, key=lambda vote: vote.order):
        for one, other in itertools.combinations(group, 2):
            count += 1
            disagreeing += one.choice != other.choice
    return float(disagreeing), float(count)


def metadata(pair: Mapping[str, Any]) -> dict[str, str | None]:
    """The pair's metadata by key."""
    return {entry["key"]: entry["value"] for entry in pair["metadata"] or ()}
