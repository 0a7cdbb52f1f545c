"""Proposes each judge's least confidence in a cascade, by stored votes about pairs with gold.

``pairmill calibrate --cascade``; no engine. Every judge of a cascade is asked about pairs with gold
whatever the judges before it say, so that any least confidences can be tried on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.aggregation.bound_gold import cluster_of_pair, drawn_probabilities
from pipeline.aggregation.cascade_choice import (
    OFF,
    CheckedAnswers,
    Choice,
    Prices,
    Promise,
    cheapest_choice,
    weighed,
)
from pipeline.aggregation.composition import Composition, Member
from pipeline.aggregation.judged_pairs import read_judged
from pipeline.aggregation.stored_labels import rows_of_judges
from pipeline.gold.people import People
from pipeline.gold.roles import tests_bounds
from pipeline.judging.votes import Vote, parsed_of
from pipeline.labeling.cascade.cascade_labels import composition_of
from pipeline.labeling.known_judge import known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.pairs.prompts import cluster_key
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.runtime.reporter import Reporter
from pipeline.stats.arrays import Ints
from pipeline.stats.fixed_sequence import least_checked
from pipeline.stats.intervals import share_by_prompt
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED, Status

_LEAST = 50  # pairs; fewer tell no choice from another
_TESTED = 1.5  # as many test a bound as calibrate, where no set says how many: three in five


@dataclass(frozen=True)
class Checked:
    """A pair that people have decided, and that tests nothing.

    Attributes:
        gold: ``a``, ``b`` or ``tie``.
        cluster: of its prompt.
        weight: of how many pairs of the corpus it is one.
    """

    gold: str
    cluster: int
    weight: float = 1.0


def propose_accepts(
    config: LabelConfig,
    gold_uri: str,
    output: Store,
    people: People,
    prices: Prices,
    reporter: Reporter,
) -> Choice:
    """Says by which least confidences a cascade costs least at ``policy.max_error``.

    Args:
        config: of the cascade; its policy has ``max_error``.
        gold_uri: pairs with gold, as they were labelled; a gold set is read in place of them.
        output: where all judges' votes are; the caller holds its lease.
        people: the answers of a set, of which those that test bounds are left alone.
        prices: of each judge and of people, a pair.
        reporter: receives what is proposed, and what it gives.

    Raises:
        ConfigError: there is no cascade, no ``max_error``, or another number of prices.
        InputError: too few pairs with gold were judged by all, or nothing keeps to ``max_error``.
        StorageError: the store fails.
    """
    _refuse(config, prices)
    tiers = [known_judge(tier, output) for tier in config.tiers]
    composition = composition_of(tiers, output)
    checked, tested = _checked(config, gold_uri, output, people, composition.members[0])
    rows = rows_of_judges(output, composition.members, checked)
    unasked = [pair for pair in checked if not _asked(rows.get(pair))]
    known = {pair: each for pair, each in checked.items() if pair not in set(unasked)}
    delta = round(1 - config.policy.confidence, 12) / config.policy.bound_tries
    assert config.policy.max_error is not None
    answers, prompts = _answers(known, rows, composition, config.policy.loss)
    _refuse_few(len(prompts), len(unasked), config.policy.max_error, delta)
    promise = Promise(config.policy.max_error, delta, tested or _TESTED * len(prompts))
    chosen = cheapest_choice(answers, prices, promise)
    if not chosen.kept:
        raise InputError(_nothing_keeps(answers, prompts, promise))
    _show(chosen, answers, prompts, prices, promise, config, composition, reporter)
    if not tested:
        reporter.note(
            "no gold.set is named, or nobody has answered what it keeps for tests: publish tests "
            "policy.max_error on such a set alone (pairmill audit). What is kept is of one "
            f"{_TESTED:g} times as large as these pairs"
        )
    return chosen


def _refuse(config: LabelConfig, prices: Prices) -> None:
    judges = len(config.tiers)
    if judges < 2:
        raise ConfigError(
            "--cascade: the configuration has one judge, whose least confidence policy.max_error "
            "finds when publishing; expected a section cascade"
        )
    if config.policy.max_error is None:
        raise ConfigError(
            "--cascade: policy.max_error is not set, and without it the cheapest judge alone is "
            "the cheapest cascade; set the share of wrong labels that may be, such as 0.05"
        )
    if len(prices.judges) != judges:
        raise ConfigError(
            f"--prices: got {len(prices.judges)}, expected {judges}: what each judge costs a pair, "
            "in order, that of judge last, as 1,40; in any unit, such as seconds of a GPU"
        )


def _checked(
    config: LabelConfig, gold_uri: str, output: Store, people: People, first: Member
) -> tuple[dict[str, Checked], int]:
    """The pairs that may be looked at, by hash, and how many others will test a bound."""
    if people.set is None:
        judged = read_judged(gold_uri, config.input, output, first.judge_id)
        found = {}
        for each in judged:
            cluster = cluster_key(each.label["cluster"], each.pair["messages"])
            if each.pair["gold"] is not None:
                found[str(each.label["pair_hash"])] = Checked(each.pair["gold"], cluster)
        return found, 0
    pairs = [(pair, chance) for pair, chance in drawn_probabilities(people)]
    rows = rows_of_judges(output, [first], (pair.pair_hash for pair, _ in pairs))
    found, tested = {}, 0
    for pair, chance in pairs:
        said, row = people.gold.get(pair.pair_hash), rows.get(pair.pair_hash, [None])[0]
        if said is None:
            continue
        cluster = cluster_of_pair(pair, row["cluster"] if row else None)
        if tests_bounds(people.set.name, cluster):
            tested += 1
        else:
            found[pair.pair_hash] = Checked(said, cluster, 1 / chance)
    return found, tested


def _asked(rows: Sequence[Mapping[str, Any] | None] | None) -> bool:
    """Whether all judges have a pair, and one of them an answer."""
    if rows is None or any(row is None or row["status"] == NOT_ASKED for row in rows):
        return False
    return any(row is not None and row["status"] != Status.QUARANTINED for row in rows)


def _answers(
    checked: Mapping[str, Checked],
    rows: Mapping[str, Sequence[Mapping[str, Any] | None]],
    composition: Composition,
    loss: str,
) -> tuple[CheckedAnswers, Ints]:
    """The answers of all judges, and the prompt of each pair."""
    kept = [pair for pair, each in checked.items() if loss == "strict" or each.gold != "tie"]
    shape = (len(composition.members), len(kept))
    sure = np.full(shape, -1.0)
    given, sided, wrong = (np.zeros(shape, np.bool_) for _ in range(3))
    for place, pair in enumerate(kept):
        for number, (member, row) in enumerate(zip(composition.members, rows[pair], strict=True)):
            assert row is not None
            answer = member.answer(row)
            given[number, place] = answer.given
            if answer.status not in (Status.LABELED, Status.TIE):
                continue
            sided[number, place] = answer.preference is not None
            wrong[number, place] = sided[number, place] and answer.preference != checked[pair].gold
            found = _unseen(member, row, checked[pair].cluster, answer.preference)
            found = answer.confidence if found is None else found
            sure[number, place] = -1.0 if found is None else found
    weights = np.array([checked[pair].weight for pair in kept])
    prompts = np.unique([checked[pair].cluster for pair in kept], return_inverse=True)[1]
    return CheckedAnswers(sure, given, sided, wrong, weights), prompts


def _unseen(
    member: Member, row: Mapping[str, Any], cluster: int, preference: str | None
) -> float | None:
    """The confidence of a preference by a fit that has not seen its gold; None without one."""
    fitted = member.labeler.calibration
    if fitted is None or preference is None:
        return None
    votes = [Vote.from_row(vote) for vote in row["votes"]]
    p_a = fitted.p_a_unseen(parsed_of(member.labeler.weighted(votes, row["rubric"])), cluster)
    return p_a if p_a is None or preference == "a" else 1 - p_a


def _refuse_few(pairs: int, unasked: int, max_error: float, delta: float) -> None:
    least = max(_LEAST, math.ceil(least_checked(max_error, delta)))
    if pairs >= least:
        return
    lacking = (
        f"; {unasked} more have not been judged by all: run the cascade on them (pairmill label)"
        if unasked
        else ""
    )
    raise InputError(
        f"--cascade: {pairs} pairs with gold, beside those that test bounds, were judged by all "
        f"judges{lacking}; {least} are the least that tell whether {max_error:.1%} of labels are "
        f"wrong: {least - pairs} more, and some {math.ceil(5 / max_error)} to choose well"
    )


def _nothing_keeps(answers: CheckedAnswers, prompts: Ints, promise: Promise) -> str:
    last = answers.sided[-1]
    rate = share_by_prompt(_by_prompt(answers.wrong[-1][last], prompts[last]))
    return (
        f"--cascade: whatever the least confidences, {promise.max_error:.1%} cannot be shown by "
        f"{promise.tested:.0f} pairs that test it, by these {len(prompts)}: of the last judge's "
        f"preferences {rate.value or 0:.1%} are wrong. A better last judge, more votes, more gold "
        "that tests (pairmill audit), or a larger policy.max_error"
    )


def _show(
    chosen: Choice,
    answers: CheckedAnswers,
    prompts: Ints,
    prices: Prices,
    promise: Promise,
    config: LabelConfig,
    composition: Composition,
    reporter: Reporter,
) -> None:
    given = chosen.checked
    rate = share_by_prompt(_by_prompt(chosen.errors[given], prompts[given]))
    shown = {"low": rate.low, "high": rate.high}
    reporter.event(
        "cascade",
        {
            "pairs": len(prompts),
            "max_error": promise.max_error,
            **_figures(chosen),
            **{f"wrong_{name}": round(v, 4) for name, v in shown.items() if v is not None},
        },
    )
    for number, member in enumerate(composition.members, 1):
        least = [*chosen.accepts, None][number - 1]
        said = {"judge": number, "judge_id": member.judge_id[:16]}
        if least is not None and least < OFF:
            said["min_confidence"] = least
        reporter.event("judge", {**said, "asked": round(chosen.asked[number - 1], 4)})
        if least == OFF:
            reporter.note(f"judge {number} does not pay: leave it out of the cascade")
        elif least is not None:
            reporter.note(f"set policy.min_confidence {least:g} of judge {number} of the cascade")
    now = tuple(tier.policy.min_confidence for tier in config.tiers[:-1])
    alone = (OFF,) * len(now)
    for name, accepts in (("as configured", now), ("last judge alone", alone)):
        reporter.event(name, _figures(weighed(answers, accepts, prices, promise)))


def _figures(choice: Choice) -> dict[str, float]:
    names = ("kept", "wrong", "price", "total")
    return {name: round(getattr(choice, name), 4) for name in names}


def _by_prompt(wrong: np.ndarray[Any, np.dtype[np.bool_]], prompts: Ints) -> Ints:
    """Of each prompt its wrong labels and all of them."""
    codes = np.unique(prompts, return_inverse=True)[1]
    return np.stack([np.bincount(codes, wrong), np.bincount(codes)], axis=1).astype(np.int64)
