"""Finds the least confidence at which a snapshot keeps to ``policy.max_error``, or says why not.

Each bound that is tried on a gold set is stored under ``gold/<set>/bounds``, found or not, with the
chance to be wrong that it took: the same votes and answers are not tested twice, and all tries
together are wrong with probability 1 - ``policy.confidence`` at most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.aggregation.bound_gold import Checked, checked_labels
from pipeline.aggregation.giving_order import AHEAD, Bools, Calibrating, Path, chosen_path, ranks
from pipeline.aggregation.policy import PolicyConfig
from pipeline.aggregation.stored_labels import StoredLabels
from pipeline.gold.gold_sets import set_folder
from pipeline.gold.people import GoldConfig, People, read_people
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.stats.arrays import Floats
from pipeline.stats.fixed_sequence import (
    Threshold,
    first_tested,
    fixed_sequence,
    least_checked,
    thresholds_of,
)
from pipeline.store.object_store import Store
from pipeline.store.stored_records import parse_record
from schemas.error_bounds import ErrorBound
from schemas.gold import GoldSet

_SHIFTED = 0.01  # scores that differ so much by chance are taken for shifted
_WEIGHED_ALIKE = 1e-9


def bound_of(
    output: Store, labels: StoredLabels, policy: PolicyConfig, gold: GoldConfig
) -> ErrorBound:
    """The bound of labels under a policy, by the answers of a gold set.

    Args:
        output: the output root, of which the caller holds the lease.
        labels: of a judge or of several together, whatever their confidence.
        policy: has ``max_error``.
        gold: names the set.

    Raises:
        ConfigError: no gold set is named.
        InputError: nothing can be promised: the gold is no random sample, too small, of other
            pairs, or shifted; its tries are spent; or too many labels are wrong. Each says how
            many pairs.
        StorageError: the store fails.
    """
    if gold.set is None:
        raise ConfigError(
            f"policy.max_error {policy.max_error:g}: a bound is tested on people's answers, and "
            "gold.set names none; pairmill audit draws pairs to ask people about"
        )
    people = read_people(output, gold)
    chosen = _chosen_at_random(people)
    key = _key(labels, policy, people)
    tried = _tried(output, gold.set)
    known = next((each for each in tried if each.key == key), None)
    bound = known or _tested(output, labels, policy, people, key, tried)
    if bound.min_confidence is None:
        raise InputError(_refusal(bound, chosen))
    return bound


def _tested(
    output: Store,
    labels: StoredLabels,
    policy: PolicyConfig,
    people: People,
    key: str,
    tried: Sequence[ErrorBound],
) -> ErrorBound:
    """Makes the tests, and stores what they say."""
    assert people.set is not None
    alpha, delta = _promise(policy)
    checked = checked_labels(people, labels, policy.loss)
    sampled = labels.confidences()
    path = _path(people, labels, policy, sampled, len(checked.scores))
    scores = ranks(checked.scores, checked.by_last, AHEAD[path])
    corpus = ranks(*sampled, AHEAD[path])
    steps = thresholds_of(corpus)
    _refuse_few(people.set, checked, steps, alpha, delta)
    shift = None if _weighted(checked) else _shift(scores, corpus)
    if shift is not None and shift < _SHIFTED:
        raise _shifted(people.set, checked, sampled[0], shift)
    _refuse_spent(people.set, tried, policy, delta)
    tests = fixed_sequence(
        steps, scores, checked.wrong, checked.clusters, alpha, delta, checked.weights
    )
    passed = [test.threshold for test in tests if test.passed]
    bound = replace(
        _promised(people.set, checked, policy),
        key=key,
        attempt=len(tried) + 1,
        shift_p=shift,
        min_confidence=passed[-1] if passed else None,
        tests=tuple(tests),
        path=path,
        ahead=AHEAD[path],
    )
    return _stored(output, bound)


def _promised(gold: GoldSet, checked: Checked, policy: PolicyConfig) -> ErrorBound:
    """What is promised of what, and on which labels it is tested; nothing is tested yet."""
    alpha, delta = _promise(policy)
    frames = [draw.frame for draw in gold.draws if draw.frame]
    weighted = _weighted(checked)
    return ErrorBound(
        key="",
        max_error=alpha,
        confidence=policy.confidence,
        loss=policy.loss,
        delta=delta,
        attempt=0,
        tries=policy.bound_tries,
        gold_set=gold.name,
        frames=tuple(dict.fromkeys(frame.snapshot_id for frame in frames)),
        frame_pairs=max(frame.pairs for frame in frames),
        drawn=checked.drawn,
        answered=checked.answered,
        cannot_say=checked.cannot_say,
        disputed=checked.disputed,
        checked=len(checked.scores),
        weighted=weighted,
        approximate=len(np.unique(checked.clusters)) < len(checked.clusters) or weighted,
        shift_p=None,
        min_confidence=None,
        tests=(),
    )


def _weighted(checked: Checked) -> bool:
    """Whether pairs were drawn with unequal probabilities."""
    return not np.allclose(checked.weights, checked.weights[0], rtol=_WEIGHED_ALIKE)


def _shift(scores: Floats, corpus: Floats) -> float:
    """How likely chance makes two samples of one distribution differ so (Kolmogorov, Smirnov)."""
    from scipy.stats import ks_2samp  # a second to import, which few jobs need

    return float(ks_2samp(scores, corpus).pvalue)


def _shifted(gold: GoldSet, checked: Checked, corpus: Floats, shift: float) -> InputError:
    return InputError(
        f"gold set {gold.name}: the confidences of its {len(checked.scores)} checked preferences "
        f"(mean {checked.scores.mean():.3f}) are not those of the corpus (mean "
        f"{corpus.mean():.3f} of {len(corpus):,}); by chance they differ so with p = {shift:.2g}, "
        f"expected {_SHIFTED:g} or more: the corpus is another one by now. Draw pairs from it: "
        "pairmill audit"
    )


def _path(
    people: People,
    labels: StoredLabels,
    policy: PolicyConfig,
    sampled: tuple[Floats, Bools],
    tested: int,
) -> Path:
    """In which order labels are given: chosen on the pairs of the set that test nothing."""
    if not sampled[1].any():
        return "A"
    seen = checked_labels(people, labels, policy.loss, tests=False)
    gold = Calibrating(seen.scores, seen.by_last, seen.wrong, seen.weights)
    return chosen_path(sampled, gold, tested, *_promise(policy))


def _promise(policy: PolicyConfig) -> tuple[float, float]:
    """The share of wrong labels, and with which probability this try may miss it."""
    assert policy.max_error is not None
    return policy.max_error, round(1 - policy.confidence, 12) / policy.bound_tries


def _chosen_at_random(people: People) -> GoldSet:
    """The set, whose pairs were drawn with known probabilities.

    Raises:
        InputError: some were not, or none is decided.
    """
    gold = people.set
    assert gold is not None
    if unknown := gold.not_by_chance:
        raise InputError(
            f"gold set {gold.name}: {len(unknown)} of its {len(gold.pairs)} pairs are no random "
            "sample as far as is known, so that nothing follows from them for other pairs; "
            "pairmill audit draws one, and pairmill gold import --random-of SNAPSHOT states that "
            "pairs were drawn so elsewhere"
        )
    if not people.gold:
        raise InputError(
            f"gold set {gold.name}: people have decided none of its {len(gold.pairs)} pairs"
        )
    return gold


def _refuse_few(
    gold: GoldSet, checked: Checked, steps: list[Threshold], alpha: float, delta: float
) -> None:
    number = len(checked.scores)
    if number and steps and first_tested(steps, number, alpha, delta) < len(steps):
        return
    needed = math.ceil(least_checked(alpha, delta))
    lost = f", and {checked.unlabelled} have no votes of this judge" * bool(checked.unlabelled)
    raise InputError(
        f"gold set {gold.name}: {number} preferences are checked ({checked.answered} of "
        f"{checked.drawn} pairs that are kept for tests are decided{lost}), and {needed} without "
        f"any error are the least that show {alpha:.1%}: {needed - number} more, of about "
        f"{math.ceil((needed - number) / 0.6)} more decided pairs, since two in five calibrate. "
        f"Plan for {_planned(alpha)}"
    )


def _planned(alpha: float) -> str:
    return f"some {math.ceil(5 / alpha / 0.6 / 10) * 10} decided pairs, to afford errors among them"


def _refuse_spent(
    gold: GoldSet, tried: Sequence[ErrorBound], policy: PolicyConfig, delta: float
) -> None:
    spent, may = sum(each.delta for each in tried), round(1 - policy.confidence, 12)
    if spent + delta > may * (1 + 1e-9):
        raise InputError(
            f"gold set {gold.name}: {len(tried)} bounds were tried on it, which may be wrong with "
            f"probability {spent:.3g} together, and this one with {delta:.3g} more; expected "
            f"{may:.3g} at most. The same votes, policy and answers take no further try; for "
            "others draw a new set (pairmill audit), and state policy.bound_tries before the first"
        )


def _refusal(bound: ErrorBound, gold: GoldSet) -> str:
    test = bound.tests[-1]
    return (
        f"policy.max_error {bound.max_error:g} cannot be promised by gold set {gold.name}: of the "
        f"{test.n} checked preferences with {bound.reaching(test.threshold)}, "
        f"{test.wrong} are wrong, which shows {test.upper:.1%} at most with {bound.confidence:.0%} "
        f"confidence (try {bound.attempt} of {bound.tries}). A better judge or more votes lower "
        "it; a larger set narrows it; a larger max_error may be tried if bound_tries allows it"
    )


def _key(labels: StoredLabels, policy: PolicyConfig, people: People) -> str:
    answers = json.dumps(sorted(people.gold.items()))
    drawn = sorted(people.set.pairs) if people.set else []
    promise = [policy.max_error, policy.confidence, policy.loss, policy.bound_tries]
    by: list[Any] = [labels.judge_id, labels.policy_id, promise, drawn]
    return digest(json.dumps(by), answers)


def _folder(name: str) -> str:
    return f"{set_folder(name)}/bounds"


def _tried(output: Store, name: str) -> list[ErrorBound]:
    """All bounds that were tried on a set, in order."""
    keys = [e.key for e in output.list(_folder(name)) if e.key.endswith(".json")]
    return [parse_record(output.read(key), output.path(key), ErrorBound) for key in keys]


def _stored(output: Store, bound: ErrorBound) -> ErrorBound:
    """Stores a try, or raises where another one was first."""
    key = f"{_folder(bound.gold_set)}/{bound.attempt:06d}.json"
    if not output.create(key, bound.to_json()):
        raise InputError(f"{output.path(key)}: another run has tried a bound meanwhile; run again")
    return bound
