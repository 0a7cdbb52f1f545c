"""Reads the files of a snapshot's table, some row groups and columns of them, of any version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.runtime.map_ahead import map_ahead
from pipeline.store.object_store import Store
from schemas.manifest import Manifest, SnapshotFile
from schemas.snapshots import READABLE, TABLES

Found = TypeVar("Found")
Ranges = Mapping[str, tuple[Any, Any]]  # the least and the greatest value wanted, by column


@dataclass(frozen=True)
class TableFile:
    """One file; its footer is read once, when it is first needed."""

    output: Store
    file: SnapshotFile

    @classmethod
    def of_table(cls, output: Store, manifest: Manifest, table: str) -> list[TableFile]:
        """The files of a table that have rows.

        Raises:
            InputError: the table keeps to a contract that this software does not read.
        """
        check_readable(output, manifest, table)
        return [cls(output, file) for file in manifest.files_of(table) if file.rows]

    @cached_property
    def footer(self) -> pq.FileMetaData:
        """Its footer."""
        return self._read(lambda file: file.metadata)

    def groups(self, ranges: Ranges | None = None) -> list[int]:
        """The numbers of the row groups whose statistics do not exclude rows in all ranges."""
        numbers = range(self.footer.num_row_groups)
        return [
            number
            for number in numbers
            if all(self._overlaps(number, name, *ends) for name, ends in (ranges or {}).items())
        ]

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group, as the present contract has them; null what it lacks."""

        def read(file: pq.ParquetFile) -> pa.Table:
            there = [name for name in columns if name in file.schema_arrow.names]
            # Without threads: pyarrow 26 now and then aborts a process that ends after using them.
            return file.read_row_group(group, there, use_threads=False)

        found = self._read(read, self.footer)
        schema = pa.schema([TABLES[self.file.table].field(name) for name in columns])
        rows = self.footer.row_group(group).num_rows
        arrays = [
            found[field.name].cast(field.type)
            if field.name in found.column_names
            else pa.nulls(rows, field.type)
            for field in schema
        ]
        return pa.table(arrays, schema=schema)

    def tables(self, columns: Sequence[str], ranges: Ranges | None = None) -> Iterator[pa.Table]:
        """The row groups that may have rows in all ranges, one at a time."""
        for group in self.groups(ranges):
            yield self.read(group, columns)

    def of_shard(
        self, shard: str, start: int, stop: int, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """Some columns of a shard's rows ``[start, stop)``, among those of others, in order."""
        row, wanted = pc.field("row"), list(dict.fromkeys(["shard", "row", *columns]))
        mine = (pc.field("shard") == shard) & (row >= start) & (row < stop)
        for found in self.tables(wanted, {"shard": (shard, shard), "row": (start, stop - 1)}):
            yield found.filter(mine).select(columns)

    def _overlaps(self, group: int, column: str, low: Any, high: Any) -> bool:
        found = self.footer.row_group(group).column(self._columns[column]).statistics
        if found is None or not found.has_min_max:
            return True
        return bool(found.min <= high and found.max >= low)

    @cached_property
    def _columns(self) -> dict[str, int]:
        schema = self.footer.schema
        return {schema.column(number).path: number for number in range(len(schema))}

    def _read(
        self, what: Callable[[pq.ParquetFile], Found], footer: pq.FileMetaData | None = None
    ) -> Found:
        source = self.output.open(self.file.path, self.file.bytes)
        try:
            with source.reading():
                opened = pa.PythonFile(source, mode="r")
                how = {"metadata": footer, "page_checksum_verification": True}
                return what(pq.ParquetFile(opened, **how))
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{self.output.path(self.file.path)}: corrupt ({error}); restore the object, or "
                "remove it and publish again"
            ) from error


def map_row_groups(
    output: Store,
    manifest: Manifest,
    table: str,
    columns: Sequence[str],
    count: Callable[[pa.Table], Found],
    threads: int,
) -> Iterator[Found]:
    """The results of ``count`` on every row group of a table, in order, read in threads.

    Memory holds as many row groups as there are threads, and of each only these columns.

    Raises:
        InputError: a file is corrupt, or of a contract that this software does not read.
        StorageError: the store fails.
    """
    files = TableFile.of_table(output, manifest, table)
    yield from map_files(files, {table: columns}, lambda _, rows: count(rows), threads)


def map_files(
    files: Iterable[TableFile],
    columns: Mapping[str, Sequence[str]],
    count: Callable[[SnapshotFile, pa.Table], Found],
    threads: int,
) -> Iterator[Found]:
    """As :func:`map_row_groups`, of some files; ``columns`` are those of each table."""

    def groups(file: TableFile) -> list[tuple[TableFile, int]]:
        own = replace(file)  # whose footer goes with its last group: 67 kB, and files may be kept
        return [(own, number) for number in own.groups()]

    def counted(group: tuple[TableFile, int]) -> Found:
        file, number = group
        return count(file.file, file.read(number, columns[file.file.table]))

    footers = map_ahead(ThreadPoolExecutor(threads), groups, files, threads)
    every = (group for found in footers for group in found)
    yield from map_ahead(ThreadPoolExecutor(threads), counted, every, threads)


def check_readable(output: Store, manifest: Manifest, table: str) -> None:
    """Checks that this version of the software reads a table.

    Raises:
        InputError: it does not.
    """
    got = manifest.schemas.get(table)
    if got not in READABLE[table]:
        raise InputError(
            f"{output.uri}: the table {table} of snapshot {manifest.snapshot_id} keeps to {got}, "
            f"expected {' or '.join(READABLE[table])}; use the version of this software that "
            "wrote it"
        )
