"""Reads snapshots: ``LATEST.json`` → manifest → exactly the files that it lists.

Files of a snapshot never change, so a reader that has read a manifest reads one snapshot to the
end, whatever is published meanwhile. (Retention may remove it later: it keeps the live snapshot and
the one before it.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.fs as pafs

from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.manifests import LATEST, live, read_whole_manifest
from pipeline.snapshots.table_reader import check_readable
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.snapshots import TABLES

if TYPE_CHECKING:
    import pyarrow.dataset as ds


def open_snapshot(uri: str, which: str = LATEST, table: str = "labels") -> ds.Dataset:
    """A table of a snapshot; see :func:`pipeline.open_snapshot`."""
    import pyarrow.dataset as ds  # it imports pandas, half a second

    output = Store(uri)
    keys = _keys(output, open_manifest(output, which), table)
    filesystem, _ = output.filesystem("")
    paths = [output.filesystem(key)[1] for key in keys]
    native = pafs.LocalFileSystem() if output.local else None
    return ds.FileSystemDataset.from_paths(
        paths,
        schema=TABLES[table],
        format=ds.ParquetFileFormat(),
        filesystem=native or pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)),
    )


def snapshot_files(uri: str, which: str = LATEST, table: str = "labels") -> list[str]:
    """The files of a table; see :func:`pipeline.snapshot_files`."""
    output = Store(uri)
    return [output.path(key) for key in _keys(output, open_manifest(output, which), table)]


def open_manifest(output: Store, which: str = LATEST) -> Manifest:
    """The manifest of the live snapshot, or of the one with the id ``which``.

    Raises:
        InputError: nothing is published, there is no such snapshot, its manifest is not valid, or
            its files are not there.
        StorageError: the store fails.
    """
    return read_whole_manifest(output, live(output).snapshot_id if which == LATEST else which)


def _keys(output: Store, manifest: Manifest, table: str) -> list[str]:
    if table not in TABLES:
        raise ConfigError(f"table {table!r}: expected one of {', '.join(TABLES)}")
    check_readable(output, manifest, table)
    return [file.path for file in manifest.files_of(table)]
