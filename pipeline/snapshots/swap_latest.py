"""Swaps ``LATEST.json``, which the holder of the output's lease alone does: claimed, then swapped.

A run that has lost the lease may be about to swap the object. Whoever takes the lease after a run
that has not released it writes its own epoch into the object before it decides anything by it: what
it refuses, leaves as it is or removes cannot go live any more, since every swap is from the version
that was read. Where all have released the lease, nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pipeline.runtime.errors import PublishConflictError
from pipeline.snapshots.manifests import LATEST_KEY, Latest, manifest_key
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store, Version
from pipeline.store.stored_records import parse_record, read_record

_NOTHING = Latest("", "", "", "", None)


def claim_latest(output: Store, lease: Lease) -> tuple[Latest | None, Version | None]:
    """The live snapshot, if any, and the version to swap it by; no earlier run swaps it after this.

    Raises:
        InputError: the object is not valid.
        LeaseLostError: the lease, which is of the output, was lost.
        PublishConflictError: another run wrote it meanwhile.
        StorageError: the store fails.
    """
    version = output.read_version(LATEST_KEY)
    where = output.path(LATEST_KEY)
    latest = parse_record(version.data, where, Latest) if version else _NOTHING
    if not lease.unfinished < latest.epoch <= lease.epoch:
        version = _swap(output, latest, version, lease)
        if version is None:
            raise _written_meanwhile(output)
    return latest if latest.snapshot_id else None, version


def swap_latest(
    output: Store,
    snapshot_id: str,
    before: Latest | None,
    version: Version | None,
    lease: Lease,
    *,
    rollback: bool = False,
) -> Latest:
    """Makes a snapshot live, unless ``LATEST.json`` was swapped since it was claimed.

    Args:
        output: the output root.
        snapshot_id: of the snapshot.
        before, version: from ``claim_latest``.
        lease: of the output.
        rollback: whether this goes back to an earlier snapshot.

    Raises:
        LeaseLostError: the lease was lost.
        PublishConflictError: it was swapped.
        StorageError: the store fails.
    """
    withdrawn = (
        (before.previous, *before.withdrawn) if rollback and before and before.rollback else ()
    )
    latest = Latest(
        snapshot_id=snapshot_id,
        manifest=manifest_key(snapshot_id),
        published_at=output.host.now().isoformat(timespec="microseconds"),
        published_by=lease.run_id,
        previous=before.snapshot_id if before else None,
        rollback=rollback,
        withdrawn=tuple(sorted({name for name in withdrawn if name and name != snapshot_id})),
    )
    if _swap(output, latest, version, lease) is None:
        raise PublishConflictError(
            f"{output.path(LATEST_KEY)}: expected {before.snapshot_id if before else 'none'}, got "
            f"{_found(output, before)} while this run was publishing {snapshot_id}; readers see "
            "nothing of this run; run again if its labels are still wanted"
        )
    return latest


def drop_previous(output: Store, gone: Collection[str], lease: Lease) -> None:
    """Has ``LATEST.json`` name none of the snapshots that are about to be removed.

    Args:
        output: the output root.
        gone: ids of snapshots, of which none is live.
        lease: of the output.

    Raises: as :func:`claim_latest` does.
    """
    latest, version = claim_latest(output, lease)
    if latest is None or not {latest.previous, *latest.withdrawn}.intersection(gone):
        return
    left = replace(
        latest,
        previous=None if latest.previous in gone else latest.previous,
        withdrawn=tuple(name for name in latest.withdrawn if name not in gone),
    )
    if _swap(output, left, version, lease) is None:
        raise _written_meanwhile(output)


def _found(output: Store, before: Latest | None) -> str:
    """What is there in place of what was claimed, for people."""
    now = read_record(output, LATEST_KEY, Latest)
    if now is None:
        return "nothing: the object is gone"
    was = before or _NOTHING
    if (now.snapshot_id, now.published_at) == (was.snapshot_id, was.published_at):
        return f"the same, claimed by the holder of the lease's epoch {now.epoch}"
    return f"{now.snapshot_id}, published by run {now.published_by}"


def _written_meanwhile(output: Store) -> PublishConflictError:
    where = output.path(LATEST_KEY)
    return PublishConflictError(f"{where}: another run has written it meanwhile; run again")


def _swap(output: Store, latest: Latest, version: Version | None, lease: Lease) -> Version | None:
    lease.check()
    return output.swap(LATEST_KEY, replace(latest, epoch=lease.epoch).to_json(), version)
