"""Reads the row groups of one shard as pairs, each row with its defect."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.batch_rows import BATCH_ROWS, rows_at_a_time
from pipeline.pairs.mapped_rows import pair_ids, to_pairs
from pipeline.pairs.pair_fields import READ
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.runtime.errors import ShardChangedError
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Store

BUFFER = 4 * 2**20  # bytes fetched at a time for each column


class GroupReader:
    """Row groups of one shard, as pairs with their defects."""

    def __init__(self, store: Store, key: str, size: int, mapping: PairMapping) -> None:
        """Opens the shard ``key`` of ``size`` bytes.

        Raises:
            StorageError: the store fails, or this is not the file that was planned.
        """
        self._source, self._key, self._mapping = store.open(key, size), key, mapping
        self._footer: pq.FileMetaData | None = None
        file = self._open()
        self._footer = file.metadata
        self._shard = ShardColumns(key, file.schema_arrow)
        self._columns = self._shard.read_by(mapping, file.schema)
        self._makes_ids = mapping.makes_ids(self._shard.schema)
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        self._rows: list[int] = [group.num_rows for group in groups]
        self._starts = [0, *itertools.accumulate(self._rows)]
        self._file = file

    @property
    def count(self) -> int:
        """Number of row groups."""
        return len(self._rows)

    def rows(self, group: int) -> int:
        """Number of rows of a group."""
        return self._rows[group]

    def read(self, group: int, *, singly: bool = False) -> Iterator[pa.Table]:
        """The group's pairs; all rows behind an undecodable page have that as their defect.

        Args:
            group: its number.
            singly: one row at a time.
        """
        done = 0
        try:
            info = self._file.metadata.row_group(group)
            rows = 1 if singly else rows_at_a_time(info, self._columns)
            for pairs in self._batches(self._file, group, rows):
                yield pairs
                done += pairs.num_rows
            if done < self._rows[group]:
                why = f"corrupt data page: {done} rows, of which the footer has {self._rows[group]}"
                yield undecodable(self.read_ids(group)[done:], why)
        except UNREADABLE_FILE as error:
            yield from self._salvage(group, done, self._corruption(error))

    def read_ids(self, group: int) -> list[str | None]:
        """The group's pair ids; null where they cannot be decoded."""
        ids: list[str | None] = []
        if self._makes_ids:
            return list(self._names(group, 0, self._rows[group]))
        try:
            file = self._open()
            columns = self._shard.read_by(self._mapping.narrowed(["pair_id"]), file.schema)
            for batch in file.iter_batches(
                BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False
            ):
                ids += self._ids_of(self._shard.whole(batch))
        except UNREADABLE_FILE as error:
            self._corruption(error)
        return ids + [None] * (self._rows[group] - len(ids))

    def _salvage(self, group: int, done: int, why: str) -> Iterator[pa.Table]:
        """Rows one by one up to the first that cannot be decoded; the rest as defects.

        Rows behind it may be whole, but Arrow offers no way to skip a page.
        """
        try:
            for pairs in itertools.islice(self._batches(self._open(), group, 1), done, None):
                yield pairs
                done += 1
        except UNREADABLE_FILE as error:
            why = self._corruption(error)
        yield undecodable(self.read_ids(group)[done:], why)

    def _batches(self, file: pq.ParquetFile, group: int, size: int) -> Iterator[pa.Table]:
        # Without threads: Ray runs many readers at once, and pyarrow 26 now and then aborts a
        # process that ends after using them.
        done = 0
        for batch in file.iter_batches(
            size, row_groups=[group], columns=self._columns, use_threads=False
        ):
            ids = self._names(group, done, batch.num_rows) if self._makes_ids else None
            yield self._pairs(self._shard.whole(batch), ids)
            done += batch.num_rows

    def _names(self, group: int, done: int, count: int) -> list[str]:
        """What rows without an id are called: the shard and the row."""
        start = self._starts[group] + done
        return [f"{self._key}#{row}" for row in range(start, start + count)]

    def _pairs(self, batch: pa.RecordBatch, ids: list[str] | None) -> pa.Table:
        """Decoded rows as pairs; a bad value is the defect of its own row alone."""
        pairs: pa.Table = None
        try:
            pairs = to_pairs(self._mapping, batch, ids)
            pairs.validate(full=True)  # text that is not UTF-8 would fail far from here
            return pairs
        except UNREADABLE_FILE as error:
            if batch.num_rows == 1:
                return undecodable(ids or self._ids_of(batch), _bad_value(pairs, error))
        # Copies, as Arrow validates all items of a list's buffer, whichever rows a slice has.
        rows, half = batch.num_rows, batch.num_rows // 2
        return pa.concat_tables(
            self._pairs(batch.take(pa.arange(start, stop)), ids and ids[start:stop])
            for start, stop in ((0, half), (half, rows))
        )

    def _ids_of(self, batch: pa.RecordBatch) -> list[str | None]:
        try:
            values = pair_ids(self._mapping, batch).cast(pa.binary()).to_pylist()
        except UNREADABLE_FILE:
            return [None] * int(batch.num_rows)
        return [_text(value) for value in values]

    def _open(self) -> pq.ParquetFile:
        self._source.seek(0)
        try:
            return pq.ParquetFile(
                pa.PythonFile(self._source, mode="r"),
                metadata=self._footer,
                buffer_size=BUFFER,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        except UNREADABLE_FILE as error:
            self._corruption(error)
            raise ShardChangedError(self._source.name) from error

    def _corruption(self, error: Exception) -> str:
        failure = self._source.take_failure()
        if failure is not None:
            raise failure from error
        if isinstance(error, MemoryError):
            return f"its data page takes more memory than a reader may have: {first_line(error)}"
        return f"corrupt data page: {first_line(error)}"


def undecodable(ids: Sequence[str | None], why: str) -> pa.Table:
    """Rows of pairs of which only the ids are known, with their common defect."""
    columns = {field.name: pa.nulls(len(ids), field.type) for field in READ}
    columns |= {"pair_id": pa.array(ids, pa.string()), "defect": pa.repeat(why, len(ids))}
    return pa.table(columns, READ)


def _bad_value(pairs: pa.Table | None, error: Exception) -> str:
    """The defect of a row that was decoded but does not make a valid pair."""
    if isinstance(error, UnicodeDecodeError):
        return f"text is not UTF-8 {error.reason}"
    if pairs is None:
        return f"the row cannot be read as a pair: {first_line(error)}"
    for name in READ.names:
        try:
            pairs[name].validate(full=True)
        except pa.ArrowInvalid as invalid:
            if "UTF8" in str(invalid):
                return f"text is not UTF-8 in column {name}"
            return f"invalid value in column {name}: {first_line(invalid)}"
    return f"the row cannot be read as a pair: {first_line(error)}"


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
