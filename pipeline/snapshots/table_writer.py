"""Writes the rows of one group of shards as files of a table, each named by its content.

A name that says what is in a file cannot be written with anything else: a publisher that has lost
its lease, or a request that arrives late, changes no file that a snapshot names.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.snapshots.manifests import FILES
from pipeline.store.object_store import Store
from schemas.manifest import SnapshotFile
from schemas.snapshots import FILE_KINDS

_LEAST_GROUP_BYTES = 2**20  # a row group of less would be more footer than rows
_IN_MEMORY_BYTES = 2**22  # of a file; what is larger waits on disk for its name
_PIECE_BYTES = 2**22


class TableWriter:
    """The files of one table of one group, written in order; a context manager.

    Rows are held until they make a row group, which ends with a shard if it can, so that readers of
    a shard find its row groups by their statistics. The same rows in the same order give the same
    bytes. Without rows there is no file.

    Attributes:
        done: the files that are complete.
    """

    def __init__(
        self,
        store: Store,
        table: str,
        group: int,
        file_bytes: int,
        row_group_bytes: int,
        there: Mapping[str, int],
    ) -> None:
        """Begins no file yet.

        Args:
            store: the output.
            table: one of ``schemas.snapshots.FILE_KINDS``.
            group: the number of the group.
            file_bytes: a file that has reached this size gets no further row group.
            row_group_bytes: most bytes of a row group in memory, before it is encoded.
            there: the sizes of objects that need not be written again, by key.
        """
        self.done: list[SnapshotFile] = []
        self._store, self._table, self._group, self._there = store, table, group, there
        self._file_bytes, self._row_group_bytes = file_bytes, row_group_bytes
        self._pending: list[pa.Table] = []
        self._pending_bytes = self._rows = 0
        self._file: IO[bytes] | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._writer is not None:  # left open, it would write to the closed file at its end
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
        if self._file is not None:
            self._file.close()

    def write(self, rows: pa.Table) -> None:
        """Appends rows of the table's schema."""
        if rows.num_rows:
            self._pending.append(rows)
            self._pending_bytes += rows.nbytes
        if self._pending_bytes >= self._row_group_bytes:
            self._flush()

    def end_shard(self) -> None:
        """What follows is of another shard."""
        if self._pending_bytes >= _LEAST_GROUP_BYTES:
            self._flush()

    def finish(self) -> list[SnapshotFile]:
        """Completes the last file; returns all."""
        if self._pending:
            self._flush()
        if self._writer is not None:
            self._close()
        return self.done

    def _flush(self) -> None:
        """Writes the pending rows as one row group."""
        rows = pa.concat_tables(self._pending)
        self._pending, self._pending_bytes = [], 0
        if self._file is None or self._writer is None:
            self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # closed by _close
            options = {"compression": "zstd", "write_page_checksum": True}
            sink = pa.PythonFile(self._file, mode="w")
            self._writer = pq.ParquetWriter(sink, FILE_KINDS[self._table], **options)
        self._writer.write_table(rows, row_group_size=rows.num_rows)
        self._rows += rows.num_rows
        if self._file.tell() >= self._file_bytes:
            self._close()

    def _close(self) -> None:
        file, writer = self._file, self._writer
        if file is None or writer is None:
            raise AssertionError("no file is open")
        writer.close()
        self.done.append(
            store_file(self._store, file, self._table, self._group, self._rows, self._there)
        )
        file.close()
        self._file, self._writer, self._rows = None, None, 0


def store_file(
    store: Store, file: IO[bytes], table: str, group: int, rows: int, there: Mapping[str, int]
) -> SnapshotFile:
    """Stores a file under the name of its content, unless it is there.

    Args:
        store: the output.
        file: the whole file.
        table, group, rows: what it holds.
        there: the sizes of objects, by key.
    """
    size = file.seek(0, 2)
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    key = f"{FILES}/{sha256}.parquet"
    if there.get(key) != size:
        file.seek(0)
        upload = store.upload(key)
        upload.write_all(iter(lambda: file.read(_PIECE_BYTES), b""))
        upload.commit()
    return SnapshotFile(table, key, rows, size, sha256, group)
