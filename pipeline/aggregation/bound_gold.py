"""The labels that an error bound is tested on: of gold pairs that calibrate nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.aggregation.giving_order import Bools
from pipeline.aggregation.stored_labels import StoredLabels
from pipeline.gold.people import People
from pipeline.gold.roles import tests_bounds
from pipeline.pairs.prompts import cluster_number
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.stats.arrays import Floats, Ints
from schemas.error_bounds import Loss
from schemas.gold import DrawnPair
from schemas.labels import Status


@dataclass(frozen=True)
class Checked:
    """Preferences that people have checked.

    Attributes:
        scores: their confidence.
        by_last: which of them the last judge of a cascade gave.
        wrong: 1 where people disagree.
        clusters: of their prompts.
        weights: 1 / the probability with which the pair was drawn.
        drawn: pairs of the set that are of this use; people have decided ``answered`` of them,
            ``cannot_say`` and ``disputed`` among these.
        unlabelled: answered pairs of which the judge has no votes.
    """

    scores: Floats
    by_last: Bools
    wrong: Ints
    clusters: Ints
    weights: Floats
    drawn: int
    answered: int
    cannot_say: int
    disputed: int
    unlabelled: int


def checked_labels(
    people: People, labels: StoredLabels, loss: Loss, *, tests: bool = True
) -> Checked:
    """The labels about the pairs of a set that are kept for tests, or of those that are not.

    Args:
        people: a set's answers.
        labels: of the judge, or of several together.
        loss: what of ties that people see.
        tests: whether of those that test, or of those that calibrate.

    Raises:
        InputError: a label has no confidence, or stored votes are damaged.
        StorageError: the store fails.
    """
    assert people.set is not None
    assert people.consensus is not None
    found: list[tuple[float, int, int, float, bool]] = []
    drawn = answered = cannot_say = disputed = unlabelled = 0
    pairs = list(drawn_probabilities(people))
    rows = labels.of_pairs(pair.pair_hash for pair, _ in pairs)
    for pair, probability in pairs:
        label = rows.get(pair.pair_hash)
        cluster = cluster_of_pair(pair, label.cluster if label else None)
        if tests_bounds(people.set.name, cluster) != tests:
            continue
        drawn += 1
        cannot_say += pair.pair_hash in people.consensus.cannot_say
        said = people.gold.get(pair.pair_hash)
        if said is None:
            continue
        answered += 1
        disputed += pair.pair_hash in people.consensus.disputed
        if label is None:
            unlabelled += 1
            continue
        if label.status != Status.LABELED or (loss == "sided" and said == "tie"):
            continue
        if label.confidence is None:
            raise InputError(
                "policy.max_error: preferences of this judge have no confidence; fit one with "
                "pairmill calibrate first"
            )
        wrong = int(said != label.preference)
        found.append((label.confidence, wrong, cluster, 1 / probability, label.by_last))
    columns = np.array(found, np.float64).reshape(-1, 5).T
    clusters = np.array([each[2] for each in found], np.int64)
    counts = (drawn, answered, cannot_say, disputed, unlabelled)
    wrongs, by_last = columns[1].astype(np.int64), columns[4].astype(np.bool_)
    return Checked(columns[0], by_last, wrongs, clusters, columns[3], *counts)


def cluster_of_pair(pair: DrawnPair, cluster: str | None) -> int:
    """What a pair is alike with; itself alone where no label states it."""
    return cluster_number(cluster or pair.cluster or digest("alone", pair.pair_hash))


def drawn_probabilities(people: People) -> Iterator[tuple[DrawnPair, float]]:
    """The pairs of a set, each with the probability that any of its draws takes it."""
    assert people.set is not None
    missed: dict[str, float] = {}
    for draw in people.set.draws:
        for pair in draw.pairs:
            if pair.probability is not None:
                missed[pair.pair_hash] = missed.get(pair.pair_hash, 1.0) * (1 - pair.probability)
    for pair_hash, pair in sorted(people.set.pairs.items()):
        if pair_hash in missed:
            yield pair, 1 - missed[pair_hash]
