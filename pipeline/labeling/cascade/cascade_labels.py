"""The labels of a cascade, as they follow from stored votes: what a snapshot of it publishes."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.composition import Composition, Member
from pipeline.aggregation.first_settled import FirstSettled
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_cards import KnownJudge
from pipeline.labeling.known_judge import known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.store.object_store import Store


def cascade_of(config: LabelConfig, output: Store) -> Composition | None:
    """The composition of a configuration's judges; None where it has one judge.

    Raises:
        ConfigError: a judge's model does not exist, or its rows are not pairs.
        InputError: a stored card or calibration is damaged.
    """
    if not config.cascade.judges:
        return None
    known = [known_judge(tier, output) for tier in config.tiers]
    return composition_of(known, output, explains=config.cascade.explain)


def composition_of(
    tiers: Sequence[tuple[LabelConfig, KnownJudge]], output: Store, *, explains: bool = False
) -> Composition:
    """Judges in order of cost, each under its policy and the calibration of its card.

    The last judge's policy decides what is left to it: its least confidence is no other's.
    """
    members = [_member(config, known, output) for config, known in tiers]
    config, known = tiers[-1]
    fitted = members[-1].labeler.calibration
    members[-1] = Member(known.card, Labeler.of(config.judge, config.policy, fitted))
    accepts = (config.policy.min_confidence for config, _ in tiers[:-1])
    return Composition(tuple(members), FirstSettled(tuple(accepts), explains))


def _member(config: LabelConfig, known: KnownJudge, output: Store) -> Member:
    fitted = read_calibration(output, known.judge_id)
    return Member.of(known.card, config.policy, fitted, config.judge.votes)
