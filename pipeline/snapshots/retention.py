"""Removes old snapshots. The only code that deletes anything, and only when it is called for.

A snapshot's manifest is deleted first: from then on nobody can open it, so that a snapshot whose
deletion was interrupted never looks complete. Folders without a manifest, which such deletions and
killed publishers leave, are removed too.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.manifests import (
    folder_of,
    manifest_key,
    manifests,
    read_latest,
    snapshot_ids,
)
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store

_THREADS = 8


@dataclass(frozen=True)
class Retained:
    """Ids of snapshots, oldest first."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]
    leftovers: tuple[str, ...]


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
    needed = {latest.snapshot_id, latest.previous} if latest else set()
    complete = [manifest.snapshot_id for manifest in manifests(output)]
    kept = [name for name in complete if name in needed or name in complete[-keep:]]
    removed = [name for name in complete if name not in kept]
    leftovers = [name for name, whole in snapshot_ids(output).items() if not whole]
    for name in [*removed, *leftovers]:
        lease.check()
        _remove(output, name)
    return Retained(tuple(kept), tuple(removed), tuple(leftovers))


def _remove(output: Store, snapshot_id: str) -> None:
    output.delete(manifest_key(snapshot_id))
    keys = [entry.key for entry in output.list(folder_of(snapshot_id))]
    with output.host.pool(_THREADS) as pool:
        list(pool.map(output.delete, keys))
