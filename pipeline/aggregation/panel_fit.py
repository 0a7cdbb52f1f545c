"""Fits a panel to stored votes: to people's answers, or without them to how judges agree.

A fit is stored under ``panels/``, by what it was fitted to: later votes about the same pairs change
no weights, other answers do. Gold pairs that test error bounds are no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline.aggregation.calibration import fold_of
from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.calibration_fit import log_loss
from pipeline.aggregation.composition import Composition, Member, check_judges
from pipeline.aggregation.odd_logistic import odd_weights
from pipeline.aggregation.panel import AggregationConfig, By, Panel, PanelFit, PanelJudge, fit_id
from pipeline.aggregation.panel import verdict as verdict_of
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.stored_labels import rows_of_judges
from pipeline.gold.people import GoldConfig, People, read_people
from pipeline.gold.roles import tests_bounds
from pipeline.judging.judge_cards import find_card
from pipeline.pairs.prompts import cluster_number
from pipeline.parts.part_files import read_part_columns
from pipeline.parts.part_keys import Part, judge_parts_prefix
from pipeline.runtime.clock import utc_now
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.stats.agreement import (
    brier_score,
    calibration_error_by_chance,
    expected_calibration_error,
)
from pipeline.stats.arrays import Floats, Ints
from pipeline.stats.error_rate import Check, counts_by_prompt
from pipeline.stats.joint_votes import (
    correlations,
    dawid_skene,
    effective_judges,
    families,
    log_odds,
    right_of,
)
from pipeline.stats.wilson import LEAST_PROMPTS
from pipeline.store.object_store import Store
from schemas.labels import BY_GOLD
from schemas.validation_faults import first_faults

LEAST_DECIDED = 20  # gold pairs with a preference, for each judge
_FOLDS = 5
_SAMPLE_PARTS, _SAMPLE_PAIRS = 16, 4_000  # without gold: of the first judge's, the same each time
_OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0}
_NO_P = (
    "aggregation.by {by}: without people's answers a panel states no probability, so that {what}; "
    "name a gold set (gold.set) and take by: stacked, or leave it out"
)


@dataclass(frozen=True)
class Verdicts:
    """What the judges of a panel say about some pairs.

    Attributes:
        values: (pairs, judges), from 1 for a to -1 for b; NaN where a judge has none.
        gold: 1.0, 0.5, 0.0 as people prefer a, neither, b; NaN without their answer.
        prompts: the key of each pair's cluster.
    """

    values: Floats
    gold: Floats
    prompts: Ints

    @property
    def signs(self) -> Floats:
        """The same as 1, 0 and -1."""
        return np.sign(self.values)


def panel_of(
    output: Store, config: AggregationConfig, policy: PolicyConfig, gold: GoldConfig
) -> Composition | None:
    """The panel that is configured, fitted unless it is; None where none is.

    Args:
        output: the output root, of which the caller holds the lease.
        config: names the judges.
        policy: how the votes of each are counted, and how sure a label must be.
        gold: names the set of answers.

    Raises:
        ConfigError: a judge is not there, or not about pairs; or the policy asks for probabilities
            that the panel has not.
        InputError: gold is too little, or of other pairs; says how much there is.
        StorageError: the store fails.
    """
    if not config.panel:
        return None
    by: By = config.by or ("stacked" if gold.set else "one-per-family")
    if by == "stacked" and gold.set is None:
        raise ConfigError(
            "aggregation.by stacked: it is fitted to people's answers, and gold.set names none; "
            "by: one-per-family needs none"
        )
    if by != "stacked" and policy.max_error is not None:
        raise ConfigError(_NO_P.format(by=by, what="policy.max_error cannot be tested"))
    if by != "stacked" and policy.min_confidence > 0:
        least = f"no label reaches policy.min_confidence {policy.min_confidence:g}"
        raise ConfigError(_NO_P.format(by=by, what=least))
    cards = [find_card(output, each) for each in config.panel]
    fitted = [read_calibration(output, card["judge_id"]) for card in cards]
    pairs = zip(cards, fitted, strict=True)
    members = tuple(Member.of(card, policy, calibration) for card, calibration in pairs)
    check_judges("panel", members)
    rule = Panel(_fitted(output, members, by, gold))
    return Composition(members, rule, policy.min_confidence, policy.undecided)


def _fitted(output: Store, members: Sequence[Member], by: By, gold: GoldConfig) -> PanelFit:
    """The stored fit, or a new one that is stored."""
    people = read_people(output, gold) if by == "stacked" else People()
    key = _fitted_to(members, by, people)
    where = f"panels/{key[:32]}.json"
    if output.size(where) is not None:
        try:
            return PanelFit.model_validate_json(output.read(where))
        except ValidationError as error:
            raise InputError(
                f"{output.path(where)}: not the fit of a panel ({first_faults(error)}); remove it, "
                "and the next publish fits it again"
            ) from error
    if by == "stacked":
        fit = fit_stacked(members, _gold_verdicts(output, members, people), key, people)
    else:
        fit = fit_without_gold(members, _sampled_verdicts(output, members), by, key)
    output.create(where, fit.model_dump_json(indent=1).encode())
    return PanelFit.model_validate_json(output.read(where))


def fit_stacked(members: Sequence[Member], said: Verdicts, key: str, people: People) -> PanelFit:
    """Weights by people's answers.

    Raises:
        InputError: a judge has too few decided pairs, or people prefer one side in all.
    """
    _check_enough(members, said)
    values = np.nan_to_num(said.values)
    weights = odd_weights(values, said.gold, np.abs(values).max(axis=0))
    decided = said.gold != 0.5
    side = 2 * said.gold[decided] - 1
    right, counted = right_of(said.signs[decided], side)
    repeated = correlations(said.signs[decided] * side[:, None])
    alike = families(correlations(said.signs), [_base(each) for each in members])
    judges = tuple(
        PanelJudge(
            judge_id=member.judge_id,
            weight=float(weights[n]),
            family=alike[n],
            decided=int(counted[n]),
            right=int(right[n]),
        )
        for n, member in enumerate(members)
    )
    return PanelFit(
        fit_id=fit_id("stacked", judges),
        by="stacked",
        judges=judges,
        fitted_to=key,
        effective_judges=round(effective_judges(repeated), 6),
        gold_set=people.set.name if people.set else None,
        gold_pairs=len(said.gold),
        gold_prompts=len(np.unique(said.prompts)),
        pairs=len(said.gold),
        fitted_at=utc_now(),
        figures=_figures(values, said),
    )


def fit_without_gold(members: Sequence[Member], said: Verdicts, by: By, key: str) -> PanelFit:
    """Families of judges that are alike, and what each verdict counts, by the verdicts alone.

    Raises:
        InputError: a pair of judges has no pair in common.
    """
    both = ~np.isnan(said.values)
    shared = both.T.astype(np.int64) @ both
    if not len(said.values) or shared.min() == 0:
        first, second = np.unravel_index(shared.argmin(), shared.shape)
        counts = zip(members, both.sum(axis=0), strict=True)
        had = ", ".join(f"{member.judge_id[:16]} has {count}" for member, count in counts)
        raise InputError(
            f"panel: judges {members[first].judge_id[:16]} and {members[second].judge_id[:16]} "
            f"have verdicts about none of the same pairs, of {len(said.values)} sampled ones "
            f"({had}); run pairmill label with each on the same input"
        )
    alike = families(correlations(said.signs), [_base(each) for each in members])
    weights = np.ones(len(members))
    if by == "dawid-skene":
        weights = np.maximum(log_odds(dawid_skene(said.signs)), 0.0)
    judges = tuple(
        PanelJudge(judge_id=member.judge_id, weight=float(weights[n]), family=alike[n])
        for n, member in enumerate(members)
    )
    return PanelFit(
        fit_id=fit_id(by, judges),
        by=by,
        judges=judges,
        fitted_to=key,
        effective_judges=None,
        gold_set=None,
        gold_pairs=0,
        gold_prompts=0,
        pairs=len(said.values),
        fitted_at=utc_now(),
        figures={},
    )


def _check_enough(members: Sequence[Member], said: Verdicts) -> None:
    decided = said.gold != 0.5
    counts = (~np.isnan(said.values[decided])).sum(axis=0)
    listed = ", ".join(
        f"{member.judge_id[:16]} has {count}" for member, count in zip(members, counts, strict=True)
    )
    if counts.min(initial=len(decided)) < LEAST_DECIDED:
        raise InputError(
            f"panel: {listed} of {decided.sum()} gold pairs that calibrate and of which people "
            f"prefer a side, expected {LEAST_DECIDED} or more of each judge: have more pairs "
            "answered (two in five calibrate, the others test bounds), or label them with each"
        )
    prompts = len(np.unique(said.prompts))
    if prompts < LEAST_PROMPTS:
        raise InputError(
            f"panel: its {len(said.gold)} gold pairs are of {prompts} different prompts, expected "
            f"{LEAST_PROMPTS} or more: pairs of one prompt are alike"
        )
    if len(sides := np.unique(said.gold[decided])) < 2:
        only = "a" if sides[0] == 1 else "b"
        raise InputError(
            f"panel: people prefer response_{only} in all {decided.sum()} gold pairs, expected "
            "both sides"
        )


def _figures(values: Floats, said: Verdicts) -> dict[str, float]:
    """How right the probabilities and preferences are on pairs that a fit has not seen."""
    fold = np.array([fold_of(prompt, _FOLDS) for prompt in said.prompts.tolist()])
    p = np.full(len(values), 0.5)
    for number in np.unique(fold):
        own = fold == number
        weights = odd_weights(values[~own], said.gold[~own], np.abs(values[~own]).max(axis=0))
        p[own] = 1 / (1 + np.exp(-(values[own] @ weights)))
    decided = said.gold != 0.5
    gold = said.gold[decided]
    stated = np.maximum(p, 1 - p)
    wrong = np.where(p > 0.5, said.gold < 1, said.gold > 0).astype(np.float64)
    chosen = p != 0.5
    check = Check.of(counts_by_prompt(said.prompts[chosen], wrong[chosen], 1 - stated[chosen]))
    alone = [_right(values[decided, n], gold) for n in range(values.shape[1])]
    return {
        "right": _right(p[decided] - 0.5, gold),
        "right_best_judge": max(alone),
        "right_majority": _right(np.sign(values[decided]).sum(axis=1), gold),
        "ece": expected_calibration_error(p, said.gold),
        "ece_by_chance": calibration_error_by_chance(p),
        "brier": brier_score(p, said.gold),
        "log_loss": log_loss(p, said.gold),
        **check.figures(),
    }


def _right(score: Floats, gold: Floats) -> float:
    """The share of pairs whose side is people's; an undecided one counts half."""
    return float(np.where(score == 0, 0.5, (score > 0) == (gold == 1)).mean())


def _gold_verdicts(output: Store, members: Sequence[Member], people: People) -> Verdicts:
    assert people.set is not None
    name, count = people.set.name, len(people.gold)
    if not count:
        raise InputError(
            f"gold set {name}: people have decided none of its {len(people.set.pairs)} pairs"
        )
    rows = rows_of_judges(output, members, people.gold)
    if not rows:
        raise InputError(
            f"gold set {name}: no judge of the panel has votes about any of the {count} pairs that "
            "people have decided; expected pairs of this output's input"
        )
    kept = {
        pair: each for pair, each in rows.items() if not tests_bounds(name, _cluster(pair, each))
    }
    return verdicts_of(members, kept, people.gold)


def _sampled_verdicts(output: Store, members: Sequence[Member]) -> Verdicts:
    """Of pairs of the first judge's parts, some of them."""
    first = members[0].judge_id
    listed = [e for e in output.list(judge_parts_prefix(first)) if Part.of(e.key)]
    hashes: set[str] = set()
    for entry in sorted(listed, key=lambda each: digest(each.key))[:_SAMPLE_PARTS]:
        column = read_part_columns(output, entry.key, entry.size, ["pair_hash"])["pair_hash"]
        hashes |= set(column.drop_null().to_pylist())
    chosen = sorted(hashes, key=digest)[:_SAMPLE_PAIRS]
    return verdicts_of(members, rows_of_judges(output, members, chosen), {})


def verdicts_of(
    members: Sequence[Member],
    rows: Mapping[str, Sequence[Mapping[str, Any] | None]],
    gold: Mapping[str, str],
) -> Verdicts:
    """What each judge's rows of labels v2 say.

    Args:
        members: the judges.
        rows: by pair, one of each judge or None.
        gold: people's answers by pair.
    """
    values, sides, prompts = [], [], []
    for pair, of_judges in sorted(rows.items()):
        said = [_value(member, row) for member, row in zip(members, of_judges, strict=True)]
        if all(value is None for value in said):
            continue
        values.append([np.nan if value is None else value for value in said])
        sides.append(_OUTCOMES.get(gold.get(pair, ""), np.nan))
        prompts.append(_cluster(pair, of_judges))
    shape = (-1, len(members))
    return Verdicts(
        np.array(values, np.float64).reshape(shape),
        np.array(sides, np.float64),
        np.array(prompts, np.int64),
    )


def _value(member: Member, row: Mapping[str, Any] | None) -> float | None:
    if row is None or row["decided_by"] == BY_GOLD:
        return None
    answer = member.answer(row)
    return verdict_of(answer) if answer.given else None


def _cluster(pair: str, rows: Sequence[Mapping[str, Any] | None]) -> int:
    cluster = next((row["cluster"] for row in rows if row is not None and row["cluster"]), None)
    return cluster_number(cluster or digest("alone", pair))


def _base(member: Member) -> str:
    """What a judge was made from: judges of one model are alike, whatever they are asked."""
    return str(member.card["judge"]["model"]["name"])


def _fitted_to(members: Sequence[Member], by: By, people: People) -> str:
    judges = [[each.judge_id, each.labeler.policy_id] for each in members]
    answers = sorted(people.gold.items())
    name = people.set.name if people.set else None
    return digest("panel", json.dumps([by, judges, name, answers]))
