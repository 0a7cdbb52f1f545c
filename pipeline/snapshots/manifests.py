"""Where snapshots, their manifests and ``LATEST.json`` are stored, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store, Version
from pipeline.store.stored_records import parse_record, read_record
from schemas.manifest import Manifest
from schemas.records import Record

SNAPSHOTS = "snapshots"
LATEST_KEY = f"{SNAPSHOTS}/LATEST.json"
LATEST = "LATEST"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Latest(Record):
    """Which snapshot is live.

    Attributes:
        manifest: the key of its manifest, relative to the output root.
        published_at: UTC in ISO 8601.
        published_by: the run that did it.
        previous: the snapshot that was live before, or None.
        rollback: whether this went back to an earlier snapshot.
        withdrawn: the snapshots that the rollbacks directly before this one withdrew.
    """

    snapshot_id: str
    manifest: str
    published_at: str
    published_by: str
    previous: str | None
    rollback: bool = False
    withdrawn: tuple[str, ...] = ()

    def withdrew(self, snapshot_id: str) -> bool:
        """Whether rollbacks, this one or those directly before it, withdrew this snapshot."""
        return self.rollback and snapshot_id in (self.previous, *self.withdrawn)


def folder_of(snapshot_id: str) -> str:
    """The folder of a snapshot, under the output root."""
    return f"{SNAPSHOTS}/{snapshot_id}"


def manifest_key(snapshot_id: str) -> str:
    """Where a snapshot's manifest is, under the output root."""
    return f"{folder_of(snapshot_id)}/{_MANIFEST}"


def read_latest(output: Store) -> tuple[Latest | None, Version | None]:
    """The live snapshot and the version to swap it by; None and None before the first publish.

    Raises:
        InputError: the object is not valid.
        StorageError: the store fails.
    """
    found = output.read_version(LATEST_KEY)
    if found is None:
        return None, None
    return parse_record(found.data, output.path(LATEST_KEY), Latest), found


def live(output: Store) -> Latest:
    """The live snapshot.

    Raises:
        InputError: nothing is published, or the object is not valid.
        StorageError: the store fails.
    """
    latest = read_record(output, LATEST_KEY, Latest)
    if latest is None:
        raise InputError(
            f"{output.path(LATEST_KEY)} does not exist: nothing is published there; expected an "
            "output of pairmill publish"
        )
    return latest


def read_manifest(output: Store, snapshot_id: str) -> Manifest:
    """A snapshot's manifest.

    Raises:
        InputError: there is no such snapshot, or its manifest is not valid.
        StorageError: the store fails.
    """
    key = manifest_key(snapshot_id)
    manifest = read_record(output, key, Manifest)
    if manifest is None:
        raise InputError(
            f"{output.path(key)} does not exist: there is no such snapshot; "
            "pairmill publish --list lists those that exist"
        )
    if manifest.snapshot_id != snapshot_id:
        raise InputError(
            f"{output.path(key)}: got the manifest of snapshot {manifest.snapshot_id}, expected "
            f"that of {snapshot_id}; restore the object"
        )
    return manifest


def has_manifest(output: Store, snapshot_id: str) -> bool:
    """Whether a snapshot is complete."""
    return output.size(manifest_key(snapshot_id)) is not None


def snapshot_ids(output: Store) -> dict[str, bool]:
    """Every folder under ``snapshots/``, and whether it has a manifest."""
    found: dict[str, bool] = {}
    for entry in output.list(SNAPSHOTS):
        snapshot_id, slash, path = entry.key.removeprefix(f"{SNAPSHOTS}/").partition("/")
        if slash:
            found[snapshot_id] = found.get(snapshot_id, False) or path == _MANIFEST
    return found


def find_snapshot(output: Store, prefix: str) -> str:
    """The only complete snapshot whose id begins with ``prefix``.

    Raises:
        ConfigError: no id or more than one begins so; the message lists all ids.
    """
    complete = [name for name, has in snapshot_ids(output).items() if has]
    found = [name for name in complete if name.startswith(prefix)]
    if len(found) != 1:
        raise ConfigError(
            f"snapshot {prefix!r}: {len(found)} ids under {output.path(SNAPSHOTS)} begin with it, "
            f"expected exactly one; there are {', '.join(complete) or 'none'}"
        )
    return found[0]


def manifests(output: Store) -> Iterator[Manifest]:
    """The manifests of all complete snapshots, oldest first."""
    complete = [name for name, has in snapshot_ids(output).items() if has]
    found = [read_manifest(output, name) for name in complete]
    yield from sorted(found, key=lambda manifest: manifest.created_at)
