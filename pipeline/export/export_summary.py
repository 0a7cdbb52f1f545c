"""What commands take as a snapshot to export, and what they report of an export."""

from __future__ import annotations

from typing import Any

from pipeline.export.export_run import ExportResult
from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.manifests import LATEST, SNAPSHOTS
from pipeline.store.object_store import Store


def locate(output: str | None, snapshot: str) -> tuple[Store, str]:
    """The output root and the snapshot in it.

    Args:
        output: its URI, unless the snapshot is a URI.
        snapshot: ``LATEST``, an id, or a URI: of a snapshot's folder or of the output root.

    Raises:
        ConfigError: neither or both give a URI.
    """
    if "/" not in snapshot:
        if output is None:
            raise ConfigError("give --output URI, or the URI of a snapshot's folder as --snapshot")
        return Store(output), snapshot
    if output is not None:
        raise ConfigError(f"--snapshot {snapshot} is a URI: leave --output out")
    root, _, name = snapshot.rstrip("/").rpartition(f"/{SNAPSHOTS}/")
    if not root:
        return Store(snapshot), LATEST
    return Store(root), name.removesuffix(".json")


def export_fields(result: ExportResult, output: Store) -> dict[str, Any]:
    """The fields that are reported of an export."""
    record = result.record
    return {
        "snapshot": record.snapshot_id,
        "format": record.format,
        "state": "new" if result.changed else "there already",
        "rows": record.rows,
        "kept": record.total,
        **{f"kept_{name.strip('/').replace('/', '_')}": n for name, n in record.kept.items()},
        **{f"dropped_{reason}": count for reason, count in record.dropped.items()},
        "epsilon": record.epsilon,
        "files": len(record.files),
        "mb": round(sum(file["bytes"] for file in record.files) / 2**20, 1),
        "folder": output.path(record.folder),
    }
