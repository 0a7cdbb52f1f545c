"""The measures of an evaluation, by the family of the judge's format, as statistics over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation import pair_measures
from pipeline.judging.votes import Vote, parsed_of
from pipeline.stats.agreement import CalibrationError, Correlation, Kappa, RiskArea
from pipeline.stats.arrays import Floats
from pipeline.stats.bootstrap import Statistic, mean, pooled, share_of
from pipeline.stats.rank_agreement import kendall, ordered_pairs, ranking_distance
from schemas.labels import Reason, Status

Family = Literal["pair", "score", "ranking"]
_HEADLINES: dict[Family, tuple[str, ...]] = {
    "pair": ("accuracy", "accuracy_decided"),
    "score": ("pearson",),
    "ranking": ("pair_accuracy",),
}
# Measures of which benchmarks publish the mean over their categories.
MACRO = (
    "accuracy",
    "accuracy_half",
    "accuracy_decided",
    "accuracy_no_gold_ties",
    "pearson",
    "spearman",
    "edit_distance",
    "kendall_tau",
    "pair_accuracy",
)
LENGTH_MATCHED = 0.1  # texts whose lengths differ by less than this share of the longer one
_VOTE_FAILURES = {
    "votes_malformed": Reason.MALFORMED,
    "votes_truncated": Reason.TRUNCATED,
    "votes_refused": Reason.REFUSED,
    "votes_out_of_range": Reason.OUT_OF_RANGE,
}


def headline(family: Family) -> tuple[str, ...]:
    """The main measures of a judge of this family, the most important one first."""
    return _HEADLINES[family]


def statistics(rows: Sequence[JudgedPair], family: Family) -> dict[str, Statistic]:
    """Every measure of ``rows``, by name; ``measure_titles`` has what each means."""
    votes = [pair_measures.votes_of(row) for row in rows]
    if family == "pair":
        found = _pair(rows, votes)
    else:
        found = _score(rows) if family == "score" else _ranking(rows)
    found |= _common(rows, votes)
    return {name: statistic for name, statistic in found.items() if statistic.support}


def _pair(rows: Sequence[JudgedPair], votes: Sequence[list[Vote]]) -> dict[str, Statistic]:
    outcome = np.array([pair_measures.gold_share(row) for row in rows])
    p = _floats([pair_measures.probability(row) for row in rows])
    confidence = _floats([pair_measures.confidence(row) for row in rows])
    codes = {"a": 0, "b": 1, "tie": 2}
    return {
        "accuracy": share_of([pair_measures.right(row) for row in rows]),
        "accuracy_half": share_of([pair_measures.right_or_half(row) for row in rows]),
        "accuracy_decided": _where(rows, pair_measures.decided, pair_measures.right),
        "accuracy_no_gold_ties": _where(
            rows, lambda r: r.pair["gold"] != "tie", pair_measures.right
        ),
        "accuracy_of_votes": _pooled(rows, votes, pair_measures.right_votes),
        "four_way": share_of([pair_measures.four_way(row) for row in rows]),
        "four_way_of_votes": _pooled(rows, votes, pair_measures.four_way_votes),
        "coverage": share_of([pair_measures.label_of(row) in ("a", "b") for row in rows]),
        "kappa": Kappa(
            np.array([codes[row.pair["gold"]] for row in rows]),
            np.array([codes.get(pair_measures.label_of(row), -1) for row in rows]),
        ),
        "brier": mean(
            [
                _squared(pair_measures.probability(row), pair_measures.gold_share(row))
                for row in rows
            ]
        ),
        "ece": CalibrationError(p, outcome),
        "aurc": RiskArea(confidence, np.array([1 - pair_measures.right(row) for row in rows])),
        "position_consistent": share_of([row.label["position_consistent"] for row in rows]),
        "first_slot": pooled([pair_measures.first_slot(each) for each in votes]),
        "repeat_flips": pooled([pair_measures.flips(each) for each in votes]),
        "longer_wins": share_of([_longer_is(row, pair_measures.label_of(row)) for row in rows]),
        "gold_longer_wins": share_of([_longer_is(row, row.pair["gold"]) for row in rows]),
        "accuracy_length_matched": _where(rows, _length_matched, pair_measures.right),
        "ties": share_of([row.label["status"] == Status.TIE for row in rows]),
        "votes_tied": pooled([_votes(each, lambda v: v.choice == "tie") for each in votes]),
    }


def _score(rows: Sequence[JudgedPair]) -> dict[str, Statistic]:
    from scipy.stats import rankdata  # a second to import, which pairs do not need

    human = np.array([row.pair["gold_scores"][0] for row in rows], np.float64)
    judge = _floats([(row.label["scores"] or [None])[0] for row in rows])
    there = ~np.isnan(judge)
    ranks = np.full((2, len(rows)), np.nan)
    ranks[:, there] = [rankdata(judge[there]), rankdata(human[there])]
    gaps = [None if np.isnan(gap) else float(gap) for gap in np.abs(judge - human)]
    return {
        "pearson": Correlation(judge, human),
        "spearman": Correlation(ranks[0], ranks[1]),
        "mae": mean(gaps),
        "coverage": share_of([row.label["status"] == Status.LABELED for row in rows]),
    }


def _ranking(rows: Sequence[JudgedPair]) -> dict[str, Statistic]:
    ranked = [(row.label["scores"], row.pair["gold_scores"]) for row in rows]
    pairs = [ordered_pairs(*each) for each in ranked]
    # Pairs of a row without scores are neither alike nor equal: not right, and half right.
    halves = [
        equal if row[0] else count for row, (_, equal, count) in zip(ranked, pairs, strict=True)
    ]
    return {
        "edit_distance": mean([ranking_distance(*each) for each in ranked]),
        "kendall_tau": mean([kendall(*each) for each in ranked]),
        "pair_accuracy": pooled([(alike, count) for alike, _, count in pairs]),
        "pair_accuracy_half": pooled(
            [(alike + half / 2, n) for half, (alike, _, n) in zip(halves, pairs, strict=True)]
        ),
        "coverage": share_of([row.label["status"] == Status.LABELED for row in rows]),
        "ties": share_of([row.label["status"] == Status.TIE for row in rows]),
        "position_consistent": share_of([row.label["position_consistent"] for row in rows]),
    }


def _common(rows: Sequence[JudgedPair], votes: Sequence[list[Vote]]) -> dict[str, Statistic]:
    failures = {
        name: pooled([(float(sum(v.outcome == reason for v in each)), len(each)) for each in votes])
        for name, reason in _VOTE_FAILURES.items()
    }
    return {
        "abstained": share_of([row.label["status"] == Status.ABSTAINED for row in rows]),
        "quarantined": share_of([row.label["status"] == Status.QUARANTINED for row in rows]),
        "votes_unreadable": pooled([_votes(each, lambda v: not v.parsed, True) for each in votes]),
        **failures,
        "votes": mean([len(each) for each in votes]),
        "prompt_tokens": mean([sum(vote.prompt_tokens for vote in each) for each in votes]),
        "output_tokens": mean([sum(vote.output_tokens for vote in each) for each in votes]),
        "cached_tokens": mean([sum(vote.cached_tokens for vote in each) for each in votes]),
    }


def _where(
    rows: Sequence[JudgedPair],
    about: Callable[[JudgedPair], bool],
    value: Callable[[JudgedPair], float],
) -> Statistic:
    return share_of([value(row) if about(row) else None for row in rows])


def _pooled(
    rows: Sequence[JudgedPair],
    votes: Sequence[list[Vote]],
    count: Callable[[JudgedPair, Sequence[Vote]], tuple[float, float]],
) -> Statistic:
    return pooled([count(row, each) for row, each in zip(rows, votes, strict=True)])


def _votes(
    votes: Sequence[Vote], what: Callable[[Vote], bool], of_all: bool = False
) -> tuple[float, float]:
    """(Votes with a property, votes): of the parsed ones, or of all."""
    counted = votes if of_all else parsed_of(votes)
    return float(sum(what(vote) for vote in counted)), float(len(counted))


def _squared(p: float | None, outcome: float) -> float | None:
    return None if p is None else (p - outcome) ** 2


def _longer_is(row: JudgedPair, preferred: str) -> bool | None:
    longer = pair_measures.longer(row)
    return None if longer is None or preferred not in ("a", "b") else longer == preferred


def _length_matched(row: JudgedPair) -> bool:
    sizes = pair_measures.lengths(row)
    return sizes is not None and abs(sizes[0] - sizes[1]) < LENGTH_MATCHED * max(sizes)


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)
