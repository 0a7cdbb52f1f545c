"""Where snapshots, their manifests and ``LATEST.json`` are stored, and how they are read.

``snapshots/<id>/`` has the manifest, the gate's decisions, ``quality.json`` and the tallies that it
was made of; the files of all snapshots lie together in ``snapshots/files/``, named by their
content. A manifest is believed only while its files are there with their sizes: one whose publisher
stalled may land after retention has removed them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store
from pipeline.store.stored_records import read_record
from schemas.manifest import GateDecision, Manifest, SnapshotFile
from schemas.records import Record
from schemas.snapshots import BROWSE

SNAPSHOTS = "snapshots"
LATEST_KEY = f"{SNAPSHOTS}/LATEST.json"
LATEST = "LATEST"
FILES = f"{SNAPSHOTS}/files"
_MANIFEST = "manifest.json"
_GATE_NAME = re.compile(r"\d+\.json")


@dataclass(frozen=True)
class Latest(Record):
    """Which snapshot is live.

    Attributes:
        snapshot_id: empty where none is yet, and a run has only claimed the object.
        manifest: the key of its manifest, relative to the output root.
        published_at: UTC in ISO 8601.
        published_by: the run that did it.
        previous: the snapshot that was live before, or None.
        rollback: whether this went back to an earlier snapshot.
        withdrawn: the snapshots that the rollbacks directly before this one withdrew.
        epoch: of the output's lease, when its holder wrote this; 0 in records of earlier versions.
    """

    snapshot_id: str
    manifest: str
    published_at: str
    published_by: str
    previous: str | None
    rollback: bool = False
    withdrawn: tuple[str, ...] = ()
    epoch: int = 0

    def withdrew(self, snapshot_id: str) -> bool:
        """Whether rollbacks, this one or those directly before it, withdrew this snapshot."""
        return self.rollback and snapshot_id in (self.previous, *self.withdrawn)


def folder_of(snapshot_id: str) -> str:
    """The folder of a snapshot, under the output root."""
    return f"{SNAPSHOTS}/{snapshot_id}"


def manifest_key(snapshot_id: str) -> str:
    """Where a snapshot's manifest is, under the output root."""
    return f"{folder_of(snapshot_id)}/{_MANIFEST}"


def read_latest(output: Store) -> Latest | None:
    """The live snapshot; None before the first publish.

    Raises:
        InputError: the object is not valid.
        StorageError: the store fails.
    """
    latest = read_record(output, LATEST_KEY, Latest)
    return latest if latest and latest.snapshot_id else None


def live(output: Store) -> Latest:
    """The live snapshot.

    Raises:
        InputError: nothing is published, or the object is not valid.
        StorageError: the store fails.
    """
    latest = read_latest(output)
    if latest is None:
        raise InputError(
            f"{output.path(LATEST_KEY)} does not exist, or names no snapshot yet: nothing is "
            "published there; expected an output of pairmill publish"
        )
    return latest


def read_manifest(output: Store, snapshot_id: str) -> Manifest:
    """A snapshot's manifest, with the gate's last decision.

    Raises:
        InputError: there is no such snapshot, or its manifest is not valid.
        StorageError: the store fails.
    """
    manifest = stored_manifest(output, snapshot_id)
    if manifest is None:
        raise InputError(
            f"{output.path(manifest_key(snapshot_id))} does not exist: there is no such snapshot; "
            "pairmill publish --list lists those that exist"
        )
    if not (numbers := _gate_numbers(output, snapshot_id)):
        return manifest
    last = read_record(output, _gate_key(snapshot_id, max(numbers)), GateDecision)
    return manifest if last is None else replace(manifest, gate=last.decision)


def stored_manifest(output: Store, snapshot_id: str) -> Manifest | None:
    """A snapshot's manifest as it is stored, without the gate's decision; None if there is none.

    Raises:
        InputError: it is not valid.
        StorageError: the store fails.
    """
    key = manifest_key(snapshot_id)
    manifest = read_record(output, key, Manifest)
    if manifest is None:
        return None
    if manifest.snapshot_id != snapshot_id:
        raise InputError(
            f"{output.path(key)}: got the manifest of snapshot {manifest.snapshot_id}, expected "
            f"that of {snapshot_id}; restore the object"
        )
    return manifest


def read_whole_manifest(output: Store, snapshot_id: str) -> Manifest:
    """As :func:`read_manifest`, of a snapshot whose tables are there; without an index that is not.

    Raises:
        InputError: as there, or files of tables are missing.
        StorageError: the store fails.
    """
    manifest = read_manifest(output, snapshot_id)
    folders = {"/".join(file.path.split("/")[:2]) for file in manifest.files}
    sizes = {entry.key: entry.size for folder in folders for entry in output.list(folder)}
    if lost := lost_files(manifest, sizes):
        raise InputError(
            f"{output.path(manifest_key(snapshot_id))}: {len(lost)} of the snapshot's "
            f"{len(manifest.files)} files are not there with their sizes, such as "
            f"{output.path(lost[0].path)}; restore them, or publish again: pairmill publish "
            f"--input {manifest.input}"
        )
    return manifest if SnapshotListing(sizes).whole(manifest) else _without_index(manifest)


def lost_files(manifest: Manifest, sizes: Mapping[str, int]) -> list[SnapshotFile]:
    """The files of tables that are not there, by the sizes of those that are.

    The browse index is no table: what is in it is read from these where it is not whole.
    """
    lost = (file for file in manifest.files if sizes.get(file.path) != file.bytes)
    return [file for file in lost if file.table != BROWSE]


def _without_index(manifest: Manifest) -> Manifest:
    """As versions without a browse index wrote it."""
    files = tuple(file for file in manifest.files if file.table != BROWSE)
    schemas = {table: kept for table, kept in manifest.schemas.items() if table != BROWSE}
    return replace(manifest, files=files, schemas=schemas)


def add_gate_decision(output: Store, decision: GateDecision, check: Callable[[], None]) -> None:
    """Stores what the gate decided, behind all earlier decisions about the snapshot.

    A decision never takes the place of another one. A publisher that has stalled finds its number
    taken by the one that went on, whose decision is the last one; ``check`` then stops it.

    Args:
        output: the output root.
        decision: of the gate.
        check: called before every attempt; raises once the lease is lost.
    """
    data = decision.to_json()
    numbers = _gate_numbers(output, decision.snapshot_id)
    for number in itertools.count(max(numbers, default=-1) + 1):
        check()
        key = _gate_key(decision.snapshot_id, number)
        if output.create(key, data) or output.read(key) == data:  # the first answer was lost
            return


@dataclass(frozen=True)
class SnapshotListing:
    """Everything that is stored of snapshots.

    Attributes:
        sizes: bytes by key.
    """

    sizes: Mapping[str, int]

    @classmethod
    def of(cls, output: Store) -> SnapshotListing:
        """Lists it."""
        return cls({entry.key: entry.size for entry in output.list(SNAPSHOTS)})

    @cached_property
    def ids(self) -> dict[str, bool]:
        """Every snapshot's folder, and whether it has a manifest."""
        found: dict[str, bool] = {}
        for key in self.sizes:
            snapshot_id, slash, path = key.removeprefix(f"{SNAPSHOTS}/").partition("/")
            if slash and not key.startswith(f"{FILES}/"):
                found[snapshot_id] = found.get(snapshot_id, False) or path == _MANIFEST
        return found

    def manifests(self, output: Store) -> list[Manifest]:
        """The manifests, oldest first."""
        found = [read_manifest(output, name) for name, has in self.ids.items() if has]
        return sorted(found, key=lambda manifest: manifest.created_at)

    def whole(self, manifest: Manifest) -> bool:
        """Whether all files of a snapshot are there with their sizes, its index too."""
        return all(self.sizes.get(file.path) == file.bytes for file in manifest.files)


def find_snapshot(output: Store, prefix: str) -> str:
    """The only snapshot with a manifest whose id begins with ``prefix``.

    Raises:
        ConfigError: no id or more than one begins so; the message lists all ids.
    """
    complete = [name for name, has in SnapshotListing.of(output).ids.items() if has]
    found = [name for name in complete if name.startswith(prefix)]
    if len(found) != 1:
        raise ConfigError(
            f"snapshot {prefix!r}: {len(found)} ids under {output.path(SNAPSHOTS)} begin with it, "
            f"expected exactly one; there are {', '.join(complete) or 'none'}"
        )
    return found[0]


def _gate_key(snapshot_id: str, number: int) -> str:
    return f"{_gate_folder(snapshot_id)}/{number}.json"


def _gate_folder(snapshot_id: str) -> str:
    return f"{folder_of(snapshot_id)}/gate"


def _gate_numbers(output: Store, snapshot_id: str) -> list[int]:
    names = (entry.key.rpartition("/")[2] for entry in output.list(_gate_folder(snapshot_id)))
    return [int(name[: -len(".json")]) for name in names if _GATE_NAME.fullmatch(name)]
