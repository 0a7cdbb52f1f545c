"""Pairs that are not exported: they are kept to measure by, or nothing is promised of them.

A model that was trained on a gold pair, or on another one of its prompt, is measured by what it has
seen. So all pairs of gold sets, and all that share a prompt with one, stay out of exports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.gold.gold_sets import frame_shards, read_set, set_names
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError
from pipeline.store.object_store import Store
from schemas.manifest import Manifest


@dataclass(frozen=True)
class HeldOut:
    """What is held out of an export.

    Attributes:
        names: hashes of pairs and clusters of prompts.
        shards: the numbers of shards that came later than the draws of the snapshot's bound.
    """

    names: frozenset[str] = frozenset()
    shards: frozenset[int] = frozenset()

    @property
    def identity(self) -> str:
        """What of it distinguishes two exports; empty where nothing is held out."""
        named = [sorted(self.names), sorted(self.shards)]
        return digest(json.dumps(named)) if self.names or self.shards else ""


def held_out(output: Store, manifest: Manifest, gold: bool, max_error: float | None) -> HeldOut:
    """What an export of a snapshot holds out.

    Args:
        output: the output root.
        manifest: of the snapshot.
        gold: whether pairs of gold sets are.
        max_error: what is asked of the snapshot's bound, if anything.

    Raises:
        ConfigError: the snapshot does not promise so little.
        InputError: a record of a gold set is damaged.
        StorageError: the store fails.
    """
    names = set[str]()
    for name in set_names(output) if gold else ():
        for pair in read_set(output, name).pairs.values():
            names.update(filter(None, (pair.pair_hash, pair.cluster)))
    if max_error is None:
        return HeldOut(frozenset(names))
    bound = manifest.policy.bound if manifest.policy else None
    if bound is None or bound.max_error > max_error:
        stated = "promises nothing" if bound is None else f"promises {bound.max_error:g}"
        raise ConfigError(
            f"export.selection.max_error {max_error:g}: snapshot {manifest.snapshot_id} {stated}; "
            f"publish with policy.max_error={max_error:g} and a gold set first"
        )
    inside = frame_shards(output, read_set(output, bound.gold_set))
    later = (n for n, shard in enumerate(manifest.shards) if shard.shard_key not in inside)
    return HeldOut(frozenset(names), frozenset(later))
