"""Stored votes of a reward model and of a judge about the same gold pairs, as routes read them.

The reward model's confidence is the product's: a calibration and a band of ties, fitted to one half
of the pairs (by cluster) and used on the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.aggregation.calibrate import gold_votes
from pipeline.aggregation.calibration import Calibration
from pipeline.aggregation.calibration_fit import fit_calibration
from pipeline.aggregation.decisions import Decision, decide
from pipeline.aggregation.judged_pairs import JudgedPair, read_judged
from pipeline.aggregation.policy import PolicyConfig, label_rule
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.votes import Vote
from pipeline.lab.bench.job_run import label_on_stderr
from pipeline.lab.cascade_study.published_judges import Prices
from pipeline.lab.cascade_study.routes import Routed, Way
from pipeline.lab.vote_study.vote_replay import AskedPair, Replay
from pipeline.lab.vote_study.voting_strategies import Strategy, fixed
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store
from schemas.labels import Status


@dataclass(frozen=True)
class StoredVotes:
    """One judge's votes about gold pairs.

    Attributes:
        judge: its settings.
        judge_id: its fingerprint.
        pairs: by pair hash.
        seconds: of judging a vote, in the runs that judged: wall time on the machine they ran on.
    """

    judge: JudgeConfig
    judge_id: str
    pairs: Mapping[str, JudgedPair]
    seconds: float


def ask(config: LabelConfig, votes: int, input_uri: str, output_uri: str) -> StoredVotes:
    """Asks a judge for so many votes on each pair, by the labeling job, which stores them.

    Votes that are stored already are not asked for again.

    Args:
        config: of the job; budget and stop rule are replaced.
        votes: of a pair; a reward model gives one.
        input_uri: gold pairs.
        output_uri: where the labels with their votes go.
    """
    judge = config.judge.model_copy(update={"votes": fixed(votes).votes})
    whole = config.model_copy(update={"judge": judge})
    judge_id = label_on_stderr(whole, input_uri, output_uri).judge_id
    output = Store(output_uri)
    judged = read_judged(input_uri, whole.input, output, judge_id)
    pairs = {str(each.label["pair_hash"]): each for each in judged if each.label["votes"]}
    return StoredVotes(judge, judge_id, pairs, _seconds_a_vote(output, judge_id))


def _seconds_a_vote(output: Store, judge_id: str) -> float:
    """By the records of the runs that judged; infinite where none did."""
    keys = [each.key for each in output.list("runs") if each.key.endswith("/run.json")]
    records = [json.loads(output.read(key)) for key in keys]
    own = [each for each in records if each["judge_id"] == judge_id and each["judgments"]]
    votes = sum(each["judgments"] for each in own)
    return float(sum(each["judging_s"] for each in own) / votes) if votes else float("inf")


def routed(
    reward: StoredVotes, judge: StoredVotes, ways: Sequence[Strategy], prices: Prices
) -> tuple[tuple[Routed, Routed], tuple[Routed, Routed]]:
    """The pairs that both have judged, parted into halves by cluster.

    Args:
        reward: of the reward model.
        judge: with as many votes a pair as any way asks for.
        ways: of asking the judge.
        prices: of asking them.

    Returns:
        Twice what is chosen on and what is measured on: the one half and the other, then the other
        way round. The calibration of either two is fitted to the half that is chosen on.

    Raises:
        InputError: too few pairs with gold have votes of both.
    """
    shared = sorted(reward.pairs.keys() & judge.pairs.keys())
    in_first = np.array([in_first_half(reward.pairs[key]) for key in shared], bool)
    halves = np.flatnonzero(in_first), np.flatnonzero(~in_first)
    if not all(len(half) for half in halves):
        raise InputError(f"{len(shared)} gold pairs have votes of both judges; expected hundreds")
    second = tuple(_way(judge, shared, way, prices) for way in ways)
    gold = [str(reward.pairs[key].pair["gold"]) for key in shared]
    found = []
    for chosen, measured in (halves, halves[::-1]):
        calibration = _calibration(reward, [shared[n] for n in chosen])
        decisions = [_decision(reward, key, calibration) for key in shared]
        decided = [each.status in (Status.LABELED, Status.TIE) for each in decisions]
        confidence = [
            float(each.confidence or 0) if known else -1.0
            for each, known in zip(decisions, decided, strict=True)
        ]
        correct = [_correct(each, side) for each, side in zip(decisions, gold, strict=True)]
        price = np.full(len(shared), prices.reward)
        first = Way("reward model", np.array(correct), price)
        sided = np.array([side != "tie" for side in gold])
        whole = Routed(first, np.array(confidence), second, sided)
        found.append((whole.taken(chosen), whole.taken(measured)))
    return found[0], found[1]


def in_first_half(pair: JudgedPair) -> bool:
    """In which half a pair is, by its cluster alone."""
    cluster = pair.label["cluster"] or pair.label["pair_hash"]
    return int(digest("half", str(cluster))[:8], 16) % 2 == 0


def _calibration(reward: StoredVotes, keys: Sequence[str]) -> Calibration:
    rule = label_rule(reward.judge.votes, PolicyConfig(tie_band=0.0))
    format_ = reward.judge.declared_format
    readable = [reward.pairs[key] for key in keys]
    usable = [each for each in readable if each.label["status"] != Status.QUARANTINED]
    pairs = [gold_votes(each, rule, format_) for each in usable]
    return fit_calibration(pairs, reward.judge_id, "stored votes", scores=True)


def _decision(reward: StoredVotes, key: str, calibration: Calibration) -> Decision:
    rule = label_rule(reward.judge.votes, PolicyConfig())
    return decide(reward.judge.declared_format, _votes(reward, key), rule, calibration)


def _way(judge: StoredVotes, keys: Sequence[str], way: Strategy, prices: Prices) -> Way:
    pairs = [AskedPair(judge.pairs[k].pair["gold"], tuple(_votes(judge, k))) for k in keys]
    counts = Replay(way).counts(pairs)
    correct = counts["right"] + (1 - counts["right"] - counts["wrong"]) / 2
    return Way(way.name, correct, prices.vote * counts["votes"])


def _votes(judge: StoredVotes, key: str) -> list[Vote]:
    return [Vote.from_row(row) for row in judge.pairs[key].label["votes"]]


def _correct(decision: Decision, gold: str) -> float:
    if decision.preference is None:
        return 0.5
    return float(decision.preference == gold)
