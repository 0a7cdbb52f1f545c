"""Reads some columns of a snapshot's table, one row group at a time, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from pipeline.runtime.map_ahead import map_ahead
from pipeline.snapshots.table_reader import TableFile
from pipeline.store.object_store import Store
from schemas.manifest import Manifest

Result = TypeVar("Result")


def map_row_groups(
    output: Store,
    manifest: Manifest,
    table: str,
    columns: Sequence[str],
    count: Callable[[pa.Table], Result],
    threads: int,
) -> Iterator[Result]:
    """The results of ``count`` on every row group of a table, in order.

    Memory holds as many row groups as there are threads, and of each only these columns.

    Raises:
        InputError: a file is corrupt, or of a contract that this software does not read.
        StorageError: the store fails.
    """

    def groups(file: TableFile) -> list[tuple[TableFile, int]]:
        return [(file, number) for number in file.groups()]

    def counted(group: tuple[TableFile, int]) -> Result:
        file, number = group
        return count(file.read(number, columns))

    files = TableFile.of_table(output, manifest, table)
    footers = map_ahead(ThreadPoolExecutor(threads), groups, files, threads)
    every = (group for found in footers for group in found)
    yield from map_ahead(ThreadPoolExecutor(threads), counted, every, threads)
