"""One file of an export, written row by row; none of it is visible before the file is complete.

A local file is written beside its place under a hidden name, which a killed process leaves behind.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.runtime.errors import StorageError
from pipeline.store.object_store import Store
from schemas.contract import table_of

_GROUP_BYTES = 32 * 2**20  # rows that are held in memory until they are a row group
_GROUP_ROWS = 1_000

Row = dict[str, Any]


class FileRecord(TypedDict):
    """A file that is complete."""

    path: str
    rows: int
    bytes: int
    sha256: str


class RowFile:
    """A file being written: Parquet, or JSON lines of what the same schema allows.

    The same rows give the same bytes. In memory are one row group and one piece of an upload.

    Attributes:
        rows: how many are written.
    """

    def __init__(self, store: Store, folder: str, path: str, schema: pa.Schema) -> None:
        """Writes ``<folder>/<path>``; its suffix says which of the two."""
        self.rows = 0
        self._path, self._schema = path, schema
        self._upload = store.upload(f"{folder}/{path}", hashed=True)
        self._held: list[Row] = []
        self._held_bytes = 0
        self._parquet: pq.ParquetWriter | None = None
        if path.endswith(".parquet"):
            sink = pa.PythonFile(self._upload, mode="w")
            options = {"compression": "zstd", "write_page_checksum": True}
            self._parquet = pq.ParquetWriter(sink, schema, **options)

    def write(self, row: Row) -> None:
        """Appends a row of exactly the schema's columns."""
        self._held.append(row)
        self._held_bytes += _size(row)
        if self._held_bytes >= _GROUP_BYTES or len(self._held) >= _GROUP_ROWS:
            self._flush()

    def finish(self) -> FileRecord:
        """Completes the file.

        Raises:
            StorageError: the store refuses.
        """
        self._flush()
        if self._parquet is not None:
            self._parquet.close()
        self._upload.commit()
        sha256 = self._upload.sha256
        return FileRecord(path=self._path, rows=self.rows, bytes=self._upload.tell(), sha256=sha256)

    def abort(self) -> None:
        """Gives the file up; nothing of it remains."""
        if self._parquet is not None:  # an open writer would write when garbage-collected
            with suppress(StorageError, OSError, pa.ArrowException):
                self._parquet.close()
            self._parquet.is_open = False
        self._upload.abort()

    def _flush(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if not held:
            return
        table = table_of(held, self._schema)  # raises where a row does not fit
        if self._parquet is not None:
            self._parquet.write_table(table, row_group_size=len(held))
        else:
            lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in held)
            self._upload.write("".join(lines).encode())
        self.rows += len(held)


def _size(value: object) -> int:
    """About how many bytes a value takes."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 8
