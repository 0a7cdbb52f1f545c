"""Stored votes of a real judge on gold pairs, to replay strategies on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.aggregation.judged_pairs import read_judged
from pipeline.judging.votes import Vote
from pipeline.lab.bench.job_run import label_on_stderr
from pipeline.lab.vote_study.strategy_averages import Averages, averaged
from pipeline.lab.vote_study.vote_replay import MOST, AskedPair, Replay
from pipeline.lab.vote_study.voting_strategies import Strategy, fixed
from pipeline.labeling.label_config import LabelConfig
from pipeline.store.object_store import Store

_RESAMPLES = 1_000


def ask_all(config: LabelConfig, input_uri: str, output_uri: str) -> tuple[str, list[AskedPair]]:
    """Asks a judge for ``MOST`` votes on each gold pair, by the labeling job, which stores them.

    Votes that are stored already are not asked for again.

    Args:
        config: of the job; budget and stop rule are replaced.
        input_uri: gold pairs.
        output_uri: where the labels with their votes go.

    Returns:
        The judge's id, and the pairs that have votes.
    """
    judge = config.judge.model_copy(update={"votes": fixed(MOST).votes})
    whole = config.model_copy(update={"judge": judge})
    result = label_on_stderr(whole, input_uri, output_uri)
    judged = read_judged(input_uri, whole.input, Store(output_uri), result.judge_id)
    pairs = [
        AskedPair(each.pair["gold"], tuple(Vote.from_row(row) for row in each.label["votes"]))
        for each in judged
        if each.label["votes"]
    ]
    return result.judge_id, pairs


def replayed(
    strategies: Sequence[Strategy], reference: Strategy, pairs: Sequence[AskedPair], seed: int
) -> list[dict[str, Any]]:
    """Replays every strategy on the same stored votes.

    Args:
        strategies: one row for each.
        reference: the strategy that the others' accuracy is compared with, pair by pair.
        pairs: with their stored votes.
        seed: of the bootstrap over pairs.

    Returns:
        Rows like those of the simulation, with 95 % bootstrap intervals, low and high.
    """
    tied = np.array([pair.gold == "tie" for pair in pairs])
    resamples = np.random.default_rng(seed).integers(len(pairs), size=(_RESAMPLES, len(pairs)))
    weights = [np.bincount(rows, minlength=len(pairs)).astype(float) for rows in resamples]

    def averages(strategy: Strategy) -> list[Averages]:
        """On all pairs, then on each resample."""
        counts = Replay(strategy).counts(pairs)
        return [averaged(counts, weight, tied) for weight in (np.ones(len(pairs)), *weights)]

    aims = [each.accuracy for each in averages(reference)]
    rows = []
    for strategy in strategies:
        found = averages(strategy)
        behind = [each.accuracy - aim for each, aim in zip(found, aims, strict=True)]
        rows.append(
            {
                "population": "stored votes",
                "strategy": strategy.name,
                "method": "stored",
                **{key: round(value, 5) for key, value in asdict(found[0]).items()},
                "behind": round(behind[0], 5),
                "intervals": {
                    "accuracy": _interval([each.accuracy for each in found[1:]]),
                    "votes": _interval([each.votes for each in found[1:]]),
                    "behind": _interval(behind[1:]),
                },
            }
        )
    return rows


def vote_shares(pairs: Sequence[AskedPair]) -> dict[str, float]:
    """Shares of right, wrong, tie and unparseable votes, those on true ties left out."""
    votes = [(pair.gold, vote) for pair in pairs if pair.gold != "tie" for vote in pair.votes]
    counts = Counter(
        "unreadable"  # the key in stored results
        if not vote.parsed
        else "tie"
        if vote.choice == "tie"
        else "right"
        if vote.choice == gold
        else "wrong"
        for gold, vote in votes
    )
    return {name: round(count / len(votes), 4) for name, count in sorted(counts.items())}


def _interval(values: Sequence[float]) -> list[float]:
    return [round(float(value), 5) for value in np.quantile(values, [0.025, 0.975])]
