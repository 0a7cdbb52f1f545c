"""The share of a snapshot's preferences that agree with people, by pairs drawn from it.

It holds for all preferences in the shards that pairs were drawn from, where the agreement with gold
holds for the pairs that happen to have some. Pairs that calibrated its confidences say nothing
about these, and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.gold.gold_sets import frame_shards
from pipeline.gold.people import People
from pipeline.gold.roles import tests_bounds
from pipeline.pairs.prompts import cluster_number
from pipeline.runtime.digest import digest
from pipeline.stats.audit_estimates import accuracy_of_sample, accuracy_of_weighted
from pipeline.stats.intervals import NOTHING
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.gold import DrawnPair
from schemas.labels import BY_GOLD, Status
from schemas.manifest import Manifest
from schemas.quality import Rate

# Of preferences: how many, the sums of their confidences and of the squares, how many have one.
_SUMS = "audit"
_DRAWN = ("pair_hash", "preference", "confidence", "cluster")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Audit:
    """What is counted of a snapshot to audit it.

    Attributes:
        chances: with which probability each pair of the set was drawn; empty where that is not
            known of all, and then nothing is measured.
        paths: of the shards that pairs were drawn from.
    """

    chances: Mapping[str, float]
    paths: frozenset[str]

    @classmethod
    def of(cls, output: Store, manifest: Manifest, people: People) -> Self:
        """By the set that people were asked about; nothing without one.

        Raises:
            InputError: a record of the set is damaged.
            StorageError: the store fails.
        """
        chances = _chances(people)
        if people.set is None or not chances:
            return cls({}, frozenset())
        inside = frame_shards(output, people.set)
        return cls(chances, frozenset(s.path for s in manifest.shards if s.shard_key in inside))

    def count(self, rows: pa.Table) -> tuple[Tally, list[Row]]:
        """Preferences of the table ``labels``: their sums, and those about pairs of the set."""
        if not self.chances:
            return Tally(), []
        drawn_from = pc.is_in(rows["shard"], self._shards)
        # A label that is a person's own answer measures no judge.
        judged = pc.fill_null(pc.not_equal(rows["decided_by"], BY_GOLD), True)
        preferred = pc.and_(judged, pc.equal(rows["status"], Status.LABELED))
        labeled = rows.filter(pc.and_(drawn_from, preferred))
        stated = labeled["confidence"].drop_null().to_numpy().astype(np.float64)
        sums = (len(labeled), float(stated.sum()), float((stated**2).sum()), len(stated))
        drawn = labeled.select(_DRAWN).filter(pc.is_in(labeled["pair_hash"], self._drawn))
        return Tally(tables={_SUMS: np.array(sums, np.float64)}), drawn.to_pylist()

    def accuracy(
        self, tally: Tally, drawn: Sequence[Row], manifest: Manifest, people: People
    ) -> Rate:
        """The accuracy of the preferences, one being wrong where people see a tie.

        Args:
            tally: of the whole snapshot.
            drawn: its preferences about pairs of the set.
            manifest: of the snapshot.
            people: answers of the set.
        """
        asked = self.chances.keys() & people.gold.keys()
        audited = {row["pair_hash"]: row for row in drawn if row["pair_hash"] in asked}
        if people.set is None or not audited:
            return NOTHING
        count, total, squares, known = map(float, tally.tables[_SUMS])
        fitted = manifest.policy is not None and manifest.policy.calibration_id is not None
        clusters = {
            pair: cluster_number(row["cluster"] or digest("alone", pair))
            for pair, row in audited.items()
        }
        name = people.set.name
        kept = [pair for pair in audited if not fitted or tests_bounds(name, clusters[pair])]
        if not kept:
            return NOTHING
        right = np.array([float(audited[p]["preference"] == people.gold[p]) for p in kept])
        use = known == count  # the confidence of all, or of none
        stated = np.array([float(audited[p]["confidence"]) if use else 0.0 for p in kept])
        groups = np.array([clusters[pair] for pair in kept], np.int64)
        mean = total / count if use else 0.0
        chance = np.array([self.chances[pair] for pair in kept])
        if not np.allclose(chance, chance[0]):
            return accuracy_of_weighted(right, stated, groups, chance, mean)
        variance = max(0.0, squares / count - mean**2) if use else 0.0
        return accuracy_of_sample(right, stated, groups, (int(count), mean, variance))

    @cached_property
    def _shards(self) -> pa.Array:
        return pa.array(sorted(self.paths), pa.string())

    @cached_property
    def _drawn(self) -> pa.Array:
        return pa.array(sorted(self.chances), pa.string())


def _chances(people: People) -> dict[str, float]:
    """With which probability each pair of a set was drawn; empty where that is not known of all."""
    pairs: list[DrawnPair] = list(people.set.pairs.values()) if people.set else []
    found = {pair.pair_hash: pair.probability for pair in pairs}
    known = {pair: chance for pair, chance in found.items() if chance is not None}
    return known if len(known) == len(found) else {}
