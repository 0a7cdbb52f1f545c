"""Stored votes of a real judge about gold pairs, to replay ways of asking on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.aggregation.judged_pairs import read_judged
from pipeline.judging.votes import Vote
from pipeline.lab.vote_study.replay import MOST, AskedPair, Replay
from pipeline.lab.vote_study.strategies import Strategy, fixed
from pipeline.lab.vote_study.vote_outcome import Outcome, summed
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import label
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_RESAMPLES = 1_000


def ask_all(
    config: LabelConfig, input_uri: str, output_uri: str, reporter: Reporter
) -> tuple[str, list[AskedPair]]:
    """Asks a judge for ``MOST`` votes on each gold pair, by the labeling job; votes are stored.

    What is stored already is not asked again.

    Args:
        config: of the job; budget and stop rule are replaced.
        input_uri: gold pairs.
        output_uri: where the labels with their votes go.
        reporter: told of the progress.

    Returns:
        The judge's id, and the pairs that have votes.
    """
    judge = config.judge.model_copy(update={"votes": fixed(MOST).votes})
    whole = config.model_copy(update={"judge": judge})
    result = label(whole, input_uri, output_uri, reporter, dry_run=False)
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
    """Replays every way of asking on the same stored votes.

    Args:
        strategies: one row for each.
        reference: what the others' accuracy is compared with, pair by pair.
        pairs: with their stored votes.
        seed: of the bootstrap over pairs.

    Returns:
        Rows as those of the simulation, with 95 % bootstrap intervals, low and high.
    """
    tied = np.array([pair.gold == "tie" for pair in pairs])
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(_RESAMPLES, len(pairs)))
    weights = [np.bincount(rows, minlength=len(pairs)).astype(float) for rows in drawn]

    def outcomes(strategy: Strategy) -> list[Outcome]:
        """On all pairs, then on each resample."""
        sums = Replay(strategy).sums(pairs)
        return [summed(sums, weight, tied) for weight in (np.ones(len(pairs)), *weights)]

    aims = [outcome.accuracy for outcome in outcomes(reference)]
    rows = []
    for strategy in strategies:
        found = outcomes(strategy)
        behind = [outcome.accuracy - aim for outcome, aim in zip(found, aims, strict=True)]
        rows.append(
            {
                "population": "stored votes",
                "strategy": strategy.name,
                "method": "stored",
                **{key: round(value, 5) for key, value in asdict(found[0]).items()},
                "behind": round(behind[0], 5),
                "intervals": {
                    "accuracy": _interval([outcome.accuracy for outcome in found[1:]]),
                    "votes": _interval([outcome.votes for outcome in found[1:]]),
                    "behind": _interval(behind[1:]),
                },
            }
        )
    return rows


def vote_figures(pairs: Sequence[AskedPair]) -> dict[str, float]:
    """What the single votes are like: shares of all, those about true ties left out."""
    votes = [(pair.gold, vote) for pair in pairs if pair.gold != "tie" for vote in pair.votes]
    said = Counter(
        "unreadable"
        if not vote.readable
        else "tie"
        if vote.choice == "tie"
        else "right"
        if vote.choice == gold
        else "wrong"
        for gold, vote in votes
    )
    return {name: round(count / len(votes), 4) for name, count in sorted(said.items())}


def _interval(values: Sequence[float]) -> list[float]:
    return [round(float(value), 5) for value in np.quantile(values, [0.025, 0.975])]
