"""Copies a snapshot into an ordinary folder, for who must read a folder and no manifest."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

from pipeline.runtime.errors import ConfigError, ReconcileError
from pipeline.snapshots.manifests import LATEST, find_snapshot, live, read_whole_manifest
from pipeline.store.object_store import Store
from schemas.manifest import Manifest, SnapshotFile
from schemas.snapshots import BROWSE

_MANIFEST = "manifest.json"
_THREADS = 8
_PIECE_BYTES = 8 * 2**20


def materialize(output: Store, snapshot: str, folder: Store) -> Manifest:
    """Copies a snapshot: ``labels/``, ``quarantine/`` and ``votes/``, and last ``manifest.json``.

    Safe to run again: a folder without a manifest is not whole, and is filled again; one that has
    the snapshot's manifest is left as it is.

    Args:
        output: the output root.
        snapshot: ``LATEST``, or a snapshot's id, or its first digits.
        folder: where the copy goes.

    Returns:
        The manifest in the folder: paths are relative to it.

    Raises:
        ConfigError: there is no such snapshot, or the folder has something else in it.
        InputError: nothing is published, or files of the snapshot are not there.
        ReconcileError: a file is not what the manifest says.
        StorageError: a store fails.
    """
    which = live(output).snapshot_id if snapshot == LATEST else find_snapshot(output, snapshot)
    manifest = read_whole_manifest(output, which)
    places = _places(manifest)
    copied = replace(
        manifest,
        files=tuple(replace(file, path=path) for file, path in places.items()),
        schemas={name: manifest.schemas[name] for name in manifest.schemas if name != BROWSE},
    )
    there = {entry.key for entry in folder.list()}
    if _MANIFEST in there and folder.read(_MANIFEST) == copied.to_json():
        return copied
    if others := sorted(there - set(places.values())):
        raise ConfigError(
            f"{folder.uri}: {len(others)} objects there are not of snapshot {which}, such as "
            f"{others[0]}; name an empty folder"
        )

    def copy(file: SnapshotFile) -> None:
        upload = folder.upload(places[file], hashed=True)
        upload.write_all(
            output.read_range(file.path, start, min(file.bytes, start + _PIECE_BYTES))
            for start in range(0, file.bytes, _PIECE_BYTES)
        )
        if upload.sha256 != file.sha256:
            upload.abort()
            raise ReconcileError(
                f"{output.path(file.path)} has the SHA-256 {upload.sha256}, expected "
                f"{file.sha256}; restore it, or publish again"
            )
        upload.commit()

    with output.host.pool(_THREADS) as pool:
        list(pool.map(copy, places))
    folder.put(_MANIFEST, copied.to_json())
    return copied


def _places(manifest: Manifest) -> dict[SnapshotFile, str]:
    """Where the files of tables go; the index is for ``pairmill review``, which reads outputs."""
    numbers: dict[str, itertools.count[int]] = defaultdict(itertools.count)
    files = (file for file in manifest.files if file.table != BROWSE)
    return {file: f"{file.table}/{next(numbers[file.table]):05d}.parquet" for file in files}
