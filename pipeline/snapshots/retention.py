"""Removes old snapshots. The only code that deletes anything, and only when it is called for.

A snapshot's manifest is deleted first: from then on nobody can open it, so that a snapshot whose
deletion was interrupted never looks complete. Folders without a manifest, snapshots whose files are
gone, and files that no snapshot names, which such deletions and killed publishers leave, are
removed too. All of it under the lease of the output, since what no manifest names yet may be what a
publisher has just written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.manifests import (
    FILES,
    SnapshotListing,
    folder_of,
    manifest_key,
    read_latest,
)
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from schemas.manifest import Manifest

_THREADS = 8


@dataclass(frozen=True)
class Retained:
    """Ids of snapshots, oldest first, and how many shared files were removed."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    leftovers: tuple[str, ...]
    files_removed: int


def retain(output: Store, keep: int, lease: Lease) -> Retained:
    """Removes all but the newest ``keep`` snapshots, the live one and the one before it.

    Refused candidates count like the others.

    Raises:
        ConfigError: ``keep`` is less than 1.
        LeaseLostError: the lease, which is of the output, was lost.
        StorageError: the store fails, or these credentials may not delete.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more; the live snapshot always stays")
    latest, _ = read_latest(output)
    live = {latest.snapshot_id, latest.previous} if latest else set()
    listing = SnapshotListing.of(output)
    stored = listing.manifests(output)
    whole = [each for each in stored if listing.whole(each) or each.snapshot_id in live]
    wanted = live | {each.snapshot_id for each in whole[-keep:]}
    kept = [each for each in whole if each.snapshot_id in wanted]
    ids = [each.snapshot_id for each in kept]
    removed = [each.snapshot_id for each in whole if each.snapshot_id not in wanted]
    leftovers = [name for name in listing.ids if name not in {*ids, *removed}]
    needed = needed_files(kept)
    for name in [*removed, *leftovers]:
        lease.check()
        output.delete(manifest_key(name))
        _delete(output, _unneeded(listing, folder_of(name), needed), lease)
    files = _unneeded(listing, FILES, needed)
    _delete(output, files, lease)
    return Retained(tuple(ids), tuple(removed), tuple(leftovers), len(files))


def needed_files(manifests: Iterable[Manifest]) -> frozenset[str]:
    """The keys of the files that some of these snapshots name."""
    return frozenset(file.path for manifest in manifests for file in manifest.files)


def _unneeded(listing: SnapshotListing, folder: str, needed: Collection[str]) -> list[str]:
    return [key for key in listing.sizes if key.startswith(f"{folder}/") and key not in needed]


def _delete(output: Store, keys: Collection[str], lease: Lease) -> None:
    def one(key: str) -> None:
        lease.check()
        output.delete(key)

    with output.host.pool(_THREADS) as pool:
        list(pool.map(one, keys))
