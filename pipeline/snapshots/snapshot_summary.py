"""Log fields about publications and snapshots, for operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.snapshots.manifests import SnapshotListing, read_latest
from pipeline.snapshots.publish_snapshot import Publication
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.snapshots import TABLES


def publication_fields(publication: Publication, output: Store) -> dict[str, Any]:
    """The log fields of a publication."""
    manifest = publication.manifest
    bound = manifest.policy.bound if manifest.policy else None
    state = "refused by the gate" if manifest.blocked else "live"
    if publication.live and not publication.changed:
        state = "live, as it was before"
    return {
        "snapshot": manifest.snapshot_id,
        "state": state,
        "judge_id": manifest.judge["judge_id"][:16],
        "policy_id": manifest.policy.policy_id[:16] if manifest.policy else None,
        "calibration": manifest.policy and manifest.policy.calibration_id,
        "bound": bound.sentence if bound else None,
        "rows": manifest.rows,
        **manifest.counts,
        "shards": len(manifest.shards),
        "shards_unreadable": sum(shard.defect is not None for shard in manifest.shards),
        **{f"{name}_files": len(manifest.files_of(name)) for name in TABLES},
        "mb": round(manifest.total_bytes / 2**20, 1),
        "parent": manifest.parent,
        "output": output.uri,
    }


def listing(output: Store) -> Iterator[dict[str, Any]]:
    """The log fields of every snapshot, oldest first, and of unfinished folders."""
    latest = read_latest(output)
    listing = SnapshotListing.of(output)
    for manifest in listing.manifests(output):
        state = _state(manifest, latest.snapshot_id if latest else None)
        yield {
            "snapshot": manifest.snapshot_id,
            "state": state if listing.whole(manifest) else f"{state}, but files are not there",
            "created_at": manifest.created_at,
            "judge_id": manifest.judge["judge_id"][:16],
            **manifest.counts,
            "mb": round(manifest.total_bytes / 2**20, 1),
        }
    for snapshot_id, complete in listing.ids.items():
        if not complete:
            yield {"snapshot": snapshot_id, "state": "unfinished"}


def _state(manifest: Manifest, live: str | None) -> str:
    if manifest.snapshot_id == live:
        return "live"
    if manifest.gate is None:
        return "never gated"
    return "refused by the gate" if manifest.blocked else "kept"
