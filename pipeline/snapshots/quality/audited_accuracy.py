"""The share of a snapshot's preferences that agree with people, by pairs drawn from it.

It holds for all preferences in the shards that pairs were drawn from, where the agreement with gold
holds for the pairs that happen to have some. Pairs that calibrated its confidences say nothing
about these, and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.gold.gold_sets import frame_shards
from pipeline.gold.people import People
from pipeline.gold.roles import tests_bounds
from pipeline.pairs.prompts import cluster_number
from pipeline.runtime.digest import digest
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.stats.audit_estimates import accuracy_of_sample, accuracy_of_weighted
from pipeline.stats.intervals import NOTHING
from pipeline.store.object_store import Store
from schemas.gold import DrawnPair
from schemas.labels import BY_GOLD, Status
from schemas.manifest import Manifest
from schemas.quality import Rate

_COLUMNS = ("pair_hash", "status", "preference", "confidence", "cluster", "shard", "decided_by")


@dataclass
class _Found:
    """What a part of a snapshot holds: preferences, their confidence, and audited ones."""

    count: int = 0
    stated: float = 0.0
    squares: float = 0.0
    known: int = 0
    rows: list[dict[str, object]] = field(default_factory=list)


def audited_accuracy(output: Store, manifest: Manifest, people: People, threads: int) -> Rate:
    """The accuracy of a snapshot's preferences, a preference being wrong where people see a tie.

    Args:
        output: the output root.
        manifest: of the snapshot.
        people: answers of a set; nothing is measured unless all its pairs were drawn with known
            probabilities.
        threads: how many row groups are read at once.

    Raises:
        InputError: a file of the snapshot is damaged.
        StorageError: the store fails.
    """
    chances = _chances(people)
    if people.set is None or not chances:
        return NOTHING
    fitted = manifest.policy is not None and manifest.policy.calibration_id is not None
    inside = frame_shards(output, people.set)
    shards = pa.array([s.path for s in manifest.shards if s.shard_key in inside], pa.string())
    asked = pa.array(sorted(set(chances) & set(people.gold)), pa.string())

    def found(table: pa.Table) -> _Found:
        drawn_from = pc.is_in(table["shard"], shards)
        # A label that is a person's own answer measures no judge.
        judged = pc.fill_null(pc.not_equal(table["decided_by"], BY_GOLD), True)
        preferred = pc.and_(judged, pc.equal(table["status"], Status.LABELED))
        labeled = table.filter(pc.and_(drawn_from, preferred))
        stated = labeled["confidence"].drop_null().to_numpy().astype(np.float64)
        rows = labeled.filter(pc.is_in(labeled["pair_hash"], asked)).to_pylist()
        sums = (len(labeled), float(stated.sum()), float((stated**2).sum()), len(stated))
        return _Found(*sums, rows)

    whole = _Found()
    for part in map_row_groups(output, manifest, "labels", _COLUMNS, found, threads):
        whole.count += part.count
        whole.stated += part.stated
        whole.squares += part.squares
        whole.known += part.known
        whole.rows += part.rows
    audited = {str(row["pair_hash"]): row for row in whole.rows}
    clusters = {
        pair: cluster_number(str(row["cluster"] or digest("alone", pair)))
        for pair, row in audited.items()
    }
    name = people.set.name
    kept = [pair for pair in audited if not fitted or tests_bounds(name, clusters[pair])]
    if not kept:
        return NOTHING
    right = np.array([float(audited[p]["preference"] == people.gold[p]) for p in kept])
    use = whole.known == whole.count  # the confidence of all, or of none
    stated = np.array([float(str(audited[p]["confidence"])) if use else 0.0 for p in kept])
    groups = np.array([clusters[pair] for pair in kept], np.int64)
    mean = whole.stated / whole.count if use else 0.0
    chance = np.array([chances[pair] for pair in kept])
    if not np.allclose(chance, chance[0]):
        return accuracy_of_weighted(right, stated, groups, chance, mean)
    variance = max(0.0, whole.squares / whole.count - mean**2) if use else 0.0
    return accuracy_of_sample(right, stated, groups, (whole.count, mean, variance))


def _chances(people: People) -> dict[str, float]:
    """With which probability each pair of a set was drawn; empty where that is not known of all."""
    pairs: list[DrawnPair] = list(people.set.pairs.values()) if people.set else []
    found = {pair.pair_hash: pair.probability for pair in pairs}
    known = {pair: chance for pair, chance in found.items() if chance is not None}
    return known if len(known) == len(found) else {}
