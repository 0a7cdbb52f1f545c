"""Finds labelled pairs of a snapshot, by content or id."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.gold.gold_sets import frame_key
from pipeline.snapshots.table_reader import map_row_groups
from pipeline.store.object_store import Store
from schemas.error_bounds import FrameShards
from schemas.gold import DrawnPair, Frame
from schemas.labels import Status
from schemas.manifest import Manifest

COLUMNS = ("pair_hash", "pair_id", "shard", "row", "cluster")
_THREADS = 4


def frame_of(manifest: Manifest) -> Frame:
    """A snapshot as what pairs are drawn from: its rows that are not quarantined."""
    decided = (Status.LABELED, Status.TIE, Status.ABSTAINED)
    policy = manifest.policy.policy_id if manifest.policy else None
    return Frame(
        snapshot_id=manifest.snapshot_id,
        judge_id=str(manifest.judge["judge_id"]),
        policy_id=policy,
        input=manifest.input,
        pairs=sum(manifest.counts[status] for status in decided),
    )


def store_frame(output: Store, name: str, manifest: Manifest) -> None:
    """Keeps which shards a set's pairs were drawn from, for when the snapshot is gone."""
    keys = tuple(sorted(shard.shard_key for shard in manifest.shards))
    record = FrameShards(manifest.snapshot_id, keys)
    output.create(frame_key(name, manifest.snapshot_id), record.to_json())


def find_labeled(
    output: Store, manifest: Manifest, hashes: Collection[str], ids: Collection[str]
) -> list[DrawnPair]:
    """The pairs with one of these hashes or ids; of several rows with one content, the first.

    Raises:
        InputError: a file of the snapshot is damaged.
        StorageError: the store fails.
    """
    wanted = pa.array(sorted(hashes), pa.string()), pa.array(sorted(ids), pa.string())

    def found(table: pa.Table) -> list[DrawnPair]:
        by_hash = pc.is_in(table["pair_hash"], wanted[0])
        by_id = pc.is_in(table["pair_id"], wanted[1])
        rows = table.filter(pc.or_(by_hash, by_id)).to_pylist()
        return [DrawnPair(**row) for row in rows if row["pair_hash"] is not None]

    pairs: dict[str, DrawnPair] = {}
    for group in map_row_groups(output, manifest, "labels", COLUMNS, found, _THREADS):
        for pair in group:
            pairs.setdefault(pair.pair_hash, pair)
    return list(pairs.values())
