"""Writes one table of a snapshot as a sequence of files, each of about the configured size."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.object_store import Store
from pipeline.store.uploads import Upload
from schemas.manifest import SnapshotFile
from schemas.snapshots import TABLES


class TableFiles:
    """The files of one table, written in order; a context manager.

    Rows are held until they make a row group, so that at most one row group and one piece of an
    upload are in memory. The same rows in the same order give the same bytes. There is always at
    least one file, if only one without rows, so that readers of the folder find the columns.

    Attributes:
        done: the files that are complete.
    """

    def __init__(
        self, store: Store, folder: str, table: str, file_bytes: int, row_group_bytes: int
    ) -> None:
        """Writes ``<folder>/<table>/00000.parquet`` and so on.

        Args:
            store: the output.
            folder: of the snapshot.
            table: one of ``schemas.snapshots.TABLES``.
            file_bytes: a file that has reached this size gets no further row group.
            row_group_bytes: size of a row group in memory, before it is encoded.
        """
        self.done: list[SnapshotFile] = []
        self._store, self._folder, self._table = store, folder, table
        self._file_bytes, self._row_group_bytes = file_bytes, row_group_bytes
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._upload: Upload | None = None
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._upload is not None:  # the file was not finished
            self._upload.abort()

    def write(self, rows: pa.Table) -> None:
        """Appends rows of the table's schema."""
        if rows.num_rows:
            self._pending.append(rows)
            self._pending_bytes += rows.nbytes
        if self._pending_bytes >= self._row_group_bytes:
            self._flush()

    def finish(self) -> list[SnapshotFile]:
        """Completes the last file; returns all."""
        if self._pending or not self.done:
            self._flush()
        if self._upload is not None:
            self._close()
        return self.done

    def _flush(self) -> None:
        """Writes the pending rows as one row group."""
        schema = TABLES[self._table]
        rows = pa.concat_tables(self._pending) if self._pending else schema.empty_table()
        self._pending, self._pending_bytes = [], 0
        if self._upload is None or self._writer is None:
            key = f"{self._folder}/{self._table}/{len(self.done):05d}.parquet"
            self._upload = self._store.upload(key)
            sink = pa.PythonFile(self._upload, mode="w")
            options = {"compression": "zstd", "write_page_checksum": True}
            self._writer = pq.ParquetWriter(sink, schema, **options)
        if rows.num_rows:
            self._writer.write_table(rows, row_group_size=rows.num_rows)
            self._rows += rows.num_rows
        if self._upload.tell() >= self._file_bytes:
            self._close()

    def _close(self) -> None:
        upload, writer = self._upload, self._writer
        if upload is None or writer is None:
            raise AssertionError("no file is open")
        writer.close()
        upload.commit()
        path = f"{self._table}/{len(self.done):05d}.parquet"
        file = SnapshotFile(self._table, path, self._rows, upload.tell(), upload.sha256)
        self.done.append(file)
        self._upload, self._writer, self._rows = None, None, 0
