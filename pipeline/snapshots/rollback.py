"""Makes an earlier snapshot live again, after checking that all of its files are intact."""

from __future__ import annotations

import hashlib

from pipeline.runtime.errors import ConfigError, ReconcileError
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.manifests import find_snapshot, read_manifest
from pipeline.snapshots.publish_snapshot import Publication
from pipeline.snapshots.swap_latest import claim_latest, swap_latest
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from schemas.manifest import Manifest, SnapshotFile
from schemas.snapshots import BROWSE

_THREADS = 8
_PIECE_BYTES = 8 * 2**20


def roll_back(output: Store, snapshot: str, reporter: Reporter, lease: Lease) -> Publication:
    """Makes an existing snapshot live.

    Args:
        output: the output root.
        snapshot: its id, or the beginning of its id.
        reporter: receives progress.
        lease: of the output, held by this run.

    Raises:
        ConfigError: there is no such snapshot, the gate refused it, or no gate has checked it.
        ReconcileError: a file is not what the manifest says.
        LeaseLostError: the lease was lost.
        PublishConflictError: another publisher swapped ``LATEST.json`` first.
    """
    before, version = claim_latest(output, lease)
    manifest = read_manifest(output, find_snapshot(output, snapshot))
    if before is not None and before.snapshot_id == manifest.snapshot_id:
        return Publication(manifest, live=True, changed=False)
    if manifest.blocked:
        raise ConfigError(
            f"snapshot {manifest.snapshot_id} was refused by the gate; choose another one "
            "(pairmill publish --list), or publish it with other thresholds"
        )
    if manifest.gate is None:
        raise ConfigError(
            f"snapshot {manifest.snapshot_id} was never live, and no gate has checked it: its "
            "publisher ended before that; choose one that is kept or live "
            "(pairmill publish --list), or publish what it was made of: "
            f"pairmill publish --input {manifest.input}"
        )
    reporter.note(f"checking {len(manifest.files)} files, {manifest.total_bytes:,} bytes")
    verify_files(output, manifest)
    swap_latest(output, manifest.snapshot_id, before, version, lease, rollback=True)
    return Publication(manifest, live=True, changed=True)


def verify_files(output: Store, manifest: Manifest) -> None:
    """Reads every file of a snapshot and compares size and SHA-256 with the manifest.

    A file of the browse index may be missing.

    Raises:
        ReconcileError: files are missing or differ; names them.
        StorageError: the store fails.
    """

    def problem(file: SnapshotFile) -> str | None:
        size = output.size(file.path)
        if size is None and file.table == BROWSE:
            return None  # readers do without, and the next publish writes it
        if size is None:
            return f"{output.path(file.path)} does not exist"
        if size != file.bytes:
            return f"{output.path(file.path)} has {size} bytes, expected {file.bytes}"
        found = _sha256(output, file.path, size)
        if found != file.sha256:
            return f"{output.path(file.path)} has the SHA-256 {found}, expected {file.sha256}"
        return None

    with output.host.pool(_THREADS) as pool:
        problems = [text for text in pool.map(problem, manifest.files) if text]
    if problems:
        shown = "\n  ".join(problems[:20])
        raise ReconcileError(
            f"snapshot {manifest.snapshot_id} is damaged, and was left unchanged:\n  {shown}\n"
            "choose another, or publish again"
        )


def _sha256(output: Store, key: str, size: int) -> str:
    state = hashlib.sha256()
    for start in range(0, size, _PIECE_BYTES):
        state.update(output.read_range(key, start, min(size, start + _PIECE_BYTES)))
    return state.hexdigest()
