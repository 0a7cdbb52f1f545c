"""Writes pairs as shards that later jobs read well: small row groups, checksums, no recompression.

Row groups bound what a reader must hold and what a flipped bit can spoil: a page that cannot be
decoded costs its rows and the rest of its row group. Media are compressed already and stored as
they are; everything else is zstd.
"""

from __future__ import annotations

import bisect
import io
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from pipeline.runtime.clock import utc_now
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.errors import ConfigError, StorageError
from pipeline.store import local_files
from pipeline.store.object_store import Store
from pipeline.store.uploads import Upload
from schemas.pairs import PAIRS_V2

# Values written between two checks of a page's size: with the default of 1,024 a page of pictures
# could grow to a whole row group, and one flipped bit would spoil all of it. With small pages the
# rows before the damaged one are saved; those behind it are lost, as readers cannot skip a page.
# Pages that fit the processor's cache cost less to make: few values where rows are large.
_WRITE_BATCH, _LARGE_BATCH = 16, 4
_LARGE_ROW = 64 * 2**10  # bytes, the mean of a shard's first row group


class ShardConfig(Frozen):
    """Sizes of what is written."""

    group_rows: int = Field(default=512, ge=1, le=4_096)
    """Most rows of one row group."""
    group_bytes: int = Field(default=64 * 2**20, ge=2**10)
    """Most bytes in memory of one row group."""
    file_bytes: int = Field(default=256 * 2**20, ge=2**10, le=2**30)
    """A shard is closed once it has grown to this."""


class ShardWriter:
    """Writes a stream of pairs as shards ``<name>-00000.parquet``, ``<name>-00001.parquet``, …

    Each shard appears once it is whole; of the one that is being written when its block ends with
    an error, nothing stays. The same rows and sizes give the same shards.

    Attributes:
        written: keys of the shards so far.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        config: ShardConfig,
        on_shard: Callable[[str, int], None] = lambda key, size: None,
    ) -> None:
        """Binds to a folder; ``on_shard`` is called with each shard's key and size in bytes."""
        self.written: list[str] = []
        self._store, self._name, self._config, self._on_shard = store, name, config, on_shard
        self._group: list[pa.Table] = []
        self._group_rows = self._group_bytes = 0
        self._file: _ShardFile | None = None
        self._properties = _properties()

    def __enter__(self) -> Self:
        """Removes what a writer of these shards that was killed has left of its last one."""
        if self._store.local:
            folder, now = Path(self._store.uri), utc_now().timestamp()
            local_files.remove_dead(folder, _pattern(self._name), now)
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        """Writes what is left, or gives it up where there was an error."""
        try:
            if kind is None:
                self._end_group()
                self._end_file()
        finally:
            if self._file is not None:
                self._file.abort()

    def add(self, pairs: pa.Table) -> None:
        """Appends rows of exactly `PAIRS_V2`.

        Raises:
            StorageError: a shard cannot be written.
        """
        while pairs.num_rows:
            rows = self._fitting(pairs)
            if rows:
                self._hold(pairs.slice(0, rows))
                pairs = pairs.slice(rows)
            if pairs.num_rows:
                self._end_group()

    def _fitting(self, pairs: pa.Table) -> int:
        """How many of the first rows still fit into the row group; one always fits an empty one."""
        room = self._config.group_bytes - self._group_bytes
        most = min(int(pairs.num_rows), self._config.group_rows - self._group_rows)
        if pairs[:most].nbytes <= room:
            return most
        fitting = bisect.bisect_right(range(1, most + 1), room, key=lambda n: pairs[:n].nbytes)
        return fitting if fitting or self._group else 1

    def _hold(self, pairs: pa.Table) -> None:
        self._group.append(pairs)
        self._group_rows += pairs.num_rows
        self._group_bytes += pairs.nbytes

    def _end_group(self) -> None:
        if not self._group:
            return
        if self._file is None:
            upload = self._store.upload(_shard_name(self._name, len(self.written)))
            large = self._group_bytes > _LARGE_ROW * self._group_rows
            batch = _LARGE_BATCH if large else _WRITE_BATCH
            self._file = _ShardFile(upload, {**self._properties, "write_batch_size": batch})
        self._file.write(pa.concat_tables(self._group))
        self._group, self._group_rows, self._group_bytes = [], 0, 0
        if self._file.upload.tell() >= self._config.file_bytes:
            self._end_file()

    def _end_file(self) -> None:
        if self._file is None:
            return
        self._file.finish()
        key, size = _shard_name(self._name, len(self.written)), self._file.upload.tell()
        self._file = None
        self.written.append(key)
        self._on_shard(key, size)


class _ShardFile:
    """One shard being written, each row group as it comes: a copy of it all would cost more."""

    def __init__(self, upload: Upload, properties: Mapping[str, object]) -> None:
        self.upload = upload
        sink = pa.PythonFile(upload, mode="w")
        self._parquet = pq.ParquetWriter(sink, PAIRS_V2, **properties)

    def write(self, group: pa.Table) -> None:
        self._parquet.write_table(group, row_group_size=group.num_rows)

    def finish(self) -> None:
        self._parquet.close()
        self.upload.commit()

    def abort(self) -> None:
        with suppress(StorageError, OSError, ValueError, pa.ArrowException):
            self._parquet.close()
        self._parquet.is_open = False  # or it would write when it is collected
        self.upload.abort()


def existing_shards(store: Store, name: str) -> list[str]:
    """Shards of this name that the folder holds already."""
    return [entry.key for entry in store.list() if _pattern(name).fullmatch(entry.key)]


def refuse_existing(store: Store, name: str) -> None:
    """Guards against mixing the shards of two ingests.

    Raises:
        ConfigError: there are shards of this name.
    """
    if found := existing_shards(store, name):
        raise ConfigError(
            f"{store.uri} already holds {len(found)} shards of {name!r} ({found[0]}, …): choose "
            f"another output or name, or allow replacing them with overwrite=true"
        )


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name) + r"-\d{5,}\.parquet")


def _shard_name(name: str, index: int) -> str:
    return f"{name}-{index:05d}.parquet"


def _properties() -> dict[str, object]:
    """Writer options that name each leaf column, as Parquet writes its path."""
    empty = io.BytesIO()
    pq.write_table(PAIRS_V2.empty_table(), empty)
    schema = pq.ParquetFile(empty).schema
    leaves = [schema.column(index).path for index in range(len(schema))]
    text = [leaf for leaf in leaves if not leaf.endswith(".bytes")]
    return {
        "compression": {leaf: "zstd" if leaf in text else "none" for leaf in leaves},
        "use_dictionary": text,
        "write_statistics": text,
        "write_page_checksum": True,
    }
