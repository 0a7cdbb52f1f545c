"""The shards of an input: found, opened, and identified by path and content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.input_files import list_files, open_files
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, ShardChangedError, StorageError
from pipeline.runtime.faults import UNREADABLE_FILE
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store

_FAILURES: tuple[type[Exception], ...] = (StorageError, *UNREADABLE_FILE)
# Hex digits of a shard key that stand for its path; the others stand for its version.
PATH_DIGITS = 16
_MOST_ROWS = 10**9  # of a shard: keys of parts have nine digits for a row
# More than real files have: equal rows that pyarrow writes come to about 100. A footer that claims
# more would be planned for ever.
_ROWS_A_BYTE = 1_024


def open_input(uri: str) -> tuple[Store, str]:
    """The input's root, and the prefix or pattern under it: a single shard's root is its folder."""
    return open_files(uri)


def list_shards(source: Store, prefix: str = "") -> list[Entry]:
    """The Parquet files under the input, as :func:`list_files` has them.

    Raises:
        InputError: the input has no shard.
    """
    return list_files(source, prefix)


def open_shard(source: Store, entry: Entry) -> pq.ParquetFile:
    """Opens a shard and reads its footer.

    Raises:
        pa.ArrowException: it is corrupt.
        StorageError: the store fails.
    """
    file = source.open(entry.key, entry.size)
    with file.reading():
        return pq.ParquetFile(pa.PythonFile(file, mode="r"))


def list_planned(
    source: Store, prefix: str, planned: Mapping[str, str] | None
) -> tuple[list[Entry], int]:
    """Of the shards that an input has now those that were planned, and how many came later.

    Args:
        source, prefix: the input.
        planned: keys of the shards, by path; None before there is a plan: all of them are meant.

    Raises:
        ShardChangedError: one was removed.
        InputError: there is no shard, nor was one planned.
    """
    if planned is None:
        return list_shards(source, prefix), 0
    listed = list[Entry]()
    with suppress(InputError):  # none is left
        listed = list_shards(source, prefix)
    entries = [entry for entry in listed if entry.key in planned]
    if gone := planned.keys() - {entry.key for entry in entries}:
        raise ShardChangedError(source.shown(min(gone)))
    return entries, len(listed) - len(entries)


@contextmanager
def unless_changed(source: Store, entry: Entry, *more: type[Exception]) -> Iterator[None]:
    """Sorts what a shard that was listed as ``entry`` raises: it may be another by now.

    Args:
        source: the input root.
        entry: the shard.
        more: what is sorted, too, beside what reading raises.

    Raises:
        ShardChangedError: it is; otherwise what was raised.
    """
    try:
        yield
    except (*_FAILURES, *more) as error:
        with suppress(StorageError):  # the first error says more
            if _is_another(entry, next(source.list(entry.key), None)):
                raise ShardChangedError(source.shown(entry.key)) from error
        raise


def content_of(contents: ContentKeys, entry: Entry) -> str:
    """Identifies the content of a shard that was listed as ``entry``.

    Raises:
        ShardChangedError: it was removed, or rewritten while it was read.
        StorageError: it has to be read, and cannot be.
    """
    with unless_changed(contents.source, entry):
        return contents.of(entry)


@contextmanager
def of_one_version(source: Store, entry: Entry) -> Iterator[None]:
    """Whatever is read of a shard in the block is of the version that was listed as ``entry``.

    Raises:
        ShardChangedError: it is another at the end of the block, or where that raises that
            something is not as it should be; otherwise what was raised.
    """
    with unless_changed(source, entry, InputError):
        yield
    check_unchanged(source, entry)


def check_unchanged(source: Store, entry: Entry) -> None:
    """Asks the store whether a shard is what was listed as ``entry``.

    Raises:
        ShardChangedError: it was rewritten or removed.
    """
    if _is_another(entry, next(source.list(entry.key), None)):
        raise ShardChangedError(source.shown(entry.key))


def _is_another(entry: Entry, now: Entry | None) -> bool:
    if now is None or (now.size, now.etag) != (entry.size, entry.etag):
        return True
    return None not in (now.stat, entry.stat) and now.stat != entry.stat


@dataclass(frozen=True)
class ShardOutline:
    """What a shard's footer says.

    Attributes:
        schema: of its file.
        groups: rows and encoded bytes of each row group.
    """

    schema: pa.Schema
    groups: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return sum(rows for rows, _ in self.groups)


def read_outline(source: Store, entry: Entry) -> ShardOutline:
    """Reads a shard's footer; raises as :func:`open_shard` does."""
    file = open_shard(source, entry)
    # Not the columns' own sizes: on some damaged footers pyarrow's column metadata does not raise
    # but ends the process.
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    sizes = tuple((group.num_rows, group.total_byte_size) for group in groups)
    rows = [rows for rows, _ in sizes]
    if sum(rows) != file.metadata.num_rows or min(rows, default=0) < 0:
        raise pa.ArrowInvalid(f"{file.metadata.num_rows} rows, but row groups of {rows[:8]}")
    if sum(rows) > min(_MOST_ROWS, _ROWS_A_BYTE * entry.size):
        raise pa.ArrowInvalid(f"{sum(rows):,} rows cannot be in {entry.size:,} bytes")
    return ShardOutline(file.schema_arrow, sizes)


def shard_key(path: str, size: int, content: str) -> str:
    """Identity of one version of a shard: path relative to the input root, size, etag or hash.

    It begins with digits that all versions of the path share (see ``part_keys.versions_prefix``).
    """
    return digest(path)[:PATH_DIGITS] + digest(path, str(size), content)[PATH_DIGITS:]
