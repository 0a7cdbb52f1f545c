"""The shards of the live snapshot, for plans and inventories that compare the input with them."""

from __future__ import annotations

from pipeline.labeling.planning.published_shards import PublishedShards
from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import read_latest, stored_manifest
from pipeline.store.object_store import Store


def live_shards(output: Store) -> PublishedShards:
    """The shards that the live manifest lists; none where no manifest can be read.

    Raises:
        StorageError: the store fails.
    """
    try:
        latest = read_latest(output)
        manifest = stored_manifest(output, latest.snapshot_id) if latest else None
    except InputError:  # publishing raises it again, with what to do
        return PublishedShards()
    if manifest is None:
        return PublishedShards()
    return PublishedShards(
        manifest.input,
        frozenset(card.get("judge_id", "") for card in manifest.judges or (manifest.judge,)),
        {shard.path: shard.shard_key for shard in manifest.shards},
        {shard.shard_key: shard.rows for shard in manifest.shards if shard.defect is None},
        {(shard.bytes, shard.content): shard.shard_key for shard in manifest.shards},
    )
