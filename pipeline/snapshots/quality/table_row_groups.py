"""Reads some columns of a snapshot's table, one row group at a time, in threads."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.runtime.errors import InputError
from pipeline.snapshots.manifests import folder_of
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
        InputError: a file is corrupt.
        StorageError: the store fails.
    """
    waiting: collections.deque[Future[Result]] = collections.deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for group in _groups(output, manifest, table):
            if len(waiting) == threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(group.counted, columns, count))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Group:
    """One row group of a file, whose footer is read once for all of them."""

    output: Store
    key: str
    size: int
    footer: pq.FileMetaData
    number: int

    def counted(self, columns: Sequence[str], count: Callable[[pa.Table], Result]) -> Result:
        def read(file: pq.ParquetFile) -> pa.Table:
            # Without threads: pyarrow 26 now and then aborts a process that ends after using them.
            return file.read_row_group(self.number, list(columns), use_threads=False)

        return count(_read(self.output, self.key, self.size, read, self.footer))


def _groups(output: Store, manifest: Manifest, table: str) -> Iterator[_Group]:
    for file in manifest.files_of(table):
        key = f"{folder_of(manifest.snapshot_id)}/{file.path}"
        footer = _read(output, key, file.bytes, lambda file: file.metadata)
        for number in range(footer.num_row_groups):
            yield _Group(output, key, file.bytes, footer, number)


def _read(
    output: Store,
    key: str,
    size: int,
    what: Callable[[pq.ParquetFile], Any],
    footer: pq.FileMetaData | None = None,
) -> Any:
    source = output.open(key, size)
    try:
        opened = pa.PythonFile(source, mode="r")
        return what(pq.ParquetFile(opened, metadata=footer, page_checksum_verification=True))
    except (pa.ArrowException, OSError) as error:
        if source.failure is not None:
            raise source.failure from error
        raise InputError(
            f"{output.path(key)}: corrupt ({str(error).strip().splitlines()[0]}); restore the "
            "object, or remove its snapshot's folder and publish again"
        ) from error
