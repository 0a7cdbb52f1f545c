"""Pairs that are not exported: they are kept to measure by, or nothing is promised of them.

A model that was trained on a gold pair, or on another one of its prompt, is measured by what it has
seen. So all pairs of gold sets, and all that share a prompt with one, or with a pair of a benchmark
that was evaluated, stay out of exports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipeline.aggregation.bound_gold import cluster_of_pair
from pipeline.export.export_config import ExportConfig
from pipeline.gold.gold_sets import frame_shards, read_set, set_names
from pipeline.gold.people import GoldConfig, People, read_people
from pipeline.gold.roles import tests_bounds
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError
from pipeline.store.object_store import Store
from pipeline.store.stored_records import parse_record
from schemas.benchmark_prompts import EVALUATIONS, PROMPTS, BenchmarkPrompts
from schemas.manifest import Manifest


@dataclass(frozen=True)
class HeldOut:
    """What is held out of an export.

    Attributes:
        names: hashes of pairs and clusters of prompts.
        benchmarks: clusters of prompts of benchmarks.
        gold: what people say about pairs of sets that were drawn at random, by hash.
        shards: the numbers of shards that came later than the draws of the snapshot's bound.
        calibrated: hashes of pairs of gold sets that are exported with their probabilities, though
            people's answers about them may have fitted these.
    """

    names: frozenset[str] = frozenset()
    benchmarks: frozenset[str] = frozenset()
    gold: Mapping[str, str] = field(default_factory=dict)
    shards: frozenset[int] = frozenset()
    calibrated: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """What of it distinguishes two exports; empty where nothing is held out."""
        named: list[object] = [sorted(self.names), sorted(self.shards)]
        if self.benchmarks or self.gold:
            named += [sorted(self.benchmarks), sorted(self.gold.items())]
        if self.calibrated:
            named.append({"calibrated": sorted(self.calibrated)})
        known = self.names or self.shards or self.benchmarks or self.calibrated
        return digest(json.dumps(named)) if known else ""


def held_out(output: Store, manifest: Manifest, config: ExportConfig) -> HeldOut:
    """What an export of a snapshot holds out.

    Args:
        output: the output root.
        manifest: of the snapshot.
        config: of the export.

    Raises:
        ConfigError: the snapshot does not promise so little.
        InputError: a record of a gold set is damaged.
        StorageError: the store fails.
    """
    selection, names, gold = config.selection, set[str](), dict[str, str]()
    max_error, calibrated = selection.max_error, frozenset[str]()
    if selection.hold_out_gold:
        for name in set_names(output):
            for pair in read_set(output, name).pairs.values():
                names.update(filter(None, (pair.pair_hash, pair.cluster)))
            gold |= _checks(read_people(output, GoldConfig(set=name)), fitted=_fitted(manifest))
    elif config.soft_labels:
        calibrated = frozenset(_answered(output))
    benchmarks = frozenset(_benchmarks(output)) if selection.hold_out_benchmarks else frozenset()
    found = HeldOut(frozenset(names), benchmarks, gold, calibrated=calibrated)
    if max_error is None:
        return found
    bound = manifest.policy.bound if manifest.policy else None
    if bound is None or bound.max_error > max_error:
        stated = "promises nothing" if bound is None else f"promises {bound.max_error:g}"
        raise ConfigError(
            f"export.selection.max_error {max_error:g}: snapshot {manifest.snapshot_id} {stated}; "
            f"publish with policy.max_error={max_error:g} and a gold set first"
        )
    inside = frame_shards(output, read_set(output, bound.gold_set))
    later = (n for n, shard in enumerate(manifest.shards) if shard.shard_key not in inside)
    return replace(found, shards=frozenset(later))


def _fitted(manifest: Manifest) -> bool:
    return manifest.policy is not None and manifest.policy.calibration_id is not None


def _checks(people: People, *, fitted: bool) -> dict[str, str]:
    """What people say about pairs of a set that say how often labels are wrong.

    Pairs that were drawn with unequal or unknown probabilities stand for no corpus. Of pairs that
    may have calibrated the labels' probabilities, these say nothing about how far these are right.
    """
    pairs = people.set.pairs.values() if people.set else ()
    if len({pair.probability for pair in pairs}) != 1 or any(p.probability is None for p in pairs):
        return {}
    name = people.set.name if people.set else ""
    return {
        pair.pair_hash: people.gold[pair.pair_hash]
        for pair in pairs
        if pair.pair_hash in people.gold
        and (not fitted or tests_bounds(name, cluster_of_pair(pair, None)))
    }


def _answered(output: Store) -> Iterator[str]:
    """The pairs of all gold sets that people have decided."""
    for name in set_names(output):
        yield from read_people(output, GoldConfig(set=name)).gold


def _benchmarks(output: Store) -> Iterator[str]:
    for entry in output.list(EVALUATIONS):
        if entry.key.endswith(f"/{PROMPTS}"):
            where = output.path(entry.key)
            yield from parse_record(output.read(entry.key), where, BenchmarkPrompts).clusters
