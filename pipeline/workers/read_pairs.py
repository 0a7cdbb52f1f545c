"""Reads the units of one shard: foreign columns mapped to pairs, bytes still compressed.

A unit travels as one row whose ``pairs`` column holds all its pairs, so that it stays whole
wherever the executor sends it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.columns import ColumnMapping
from pipeline.core.contract_checks import row_problems
from pipeline.core.errors import StorageError
from pipeline.core.storage import SourceFile, Store
from pipeline.core.units import Unit
from schemas.pairs import PAIRS

BATCH_ROWS = 32  # rows decoded at a time: bounds memory, and what one bad page takes with it
_BUFFER = 4 * 2**20  # bytes fetched at a time for each column
_DECODE_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)

# A pair, and why its row cannot be judged (null for a good row).
READ_ROW = pa.struct([*PAIRS, pa.field("defect", pa.string())])
UNITS = pa.schema(
    [
        ("shard", pa.string()),
        ("shard_key", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("pairs", pa.list_(READ_ROW)),
    ]
)


@dataclass(frozen=True)
class ShardTask:
    """What is to be read of one shard: ``units``, ascending and without overlap."""

    key: str  # object key under the input root
    size: int  # bytes
    units: tuple[Unit, ...]


def read_units(store: Store, task: ShardTask, columns: ColumnMapping) -> Iterator[pa.Table]:
    """Reads the units of a shard in order, in one pass.

    Row groups without a unit are not read, except for their pair ids: an id that repeats an
    earlier one of the same shard is a defect of the later row.

    Yields:
        One-row tables of ``UNITS``.

    Raises:
        StorageError: the store fails. A corrupt page is no error but a defect of its rows.
    """
    groups = _GroupReader(store.open(task.key, task.size), columns)
    ids = _Ids()
    units, held = list(task.units), list[pa.Table]()
    position = 0
    for group in range(groups.count):
        if not units:
            return
        stop = position + groups.rows(group)
        if units[0].start >= stop:
            ids.note(groups.read_ids(group))
            position = stop
            continue
        for pairs in groups.read(group):
            rows = ids.mark(pairs)
            end = position + rows.num_rows
            while units and units[0].start < end:
                unit, start = units[0], max(units[0].start, position)
                held.append(rows.slice(start - position, min(unit.stop, end) - start))
                if unit.stop > end:
                    break
                yield _unit_row(units.pop(0), held)
                held = []
            position = end


def first_pairs(store: Store, task: ShardTask, columns: ColumnMapping) -> pa.Table:
    """The first few pairs of a shard's first row group that has rows, with their defects."""
    groups = _GroupReader(store.open(task.key, task.size), columns)
    filled = next(group for group in range(groups.count) if groups.rows(group))
    return next(groups.read(filled))


class Pairs:
    """The pairs of a unit, turned into Python rows one at a time: media stay in Arrow's memory."""

    def __init__(self, rows: pa.StructArray) -> None:
        """Wraps rows of ``READ_ROW``."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self._rows[index].as_py()
        return row

    def part(self, start: int, stop: int) -> Pairs:
        """Rows ``[start, stop)``, sharing memory."""
        return Pairs(self._rows[start:stop])


def unit_of(unit_row: pa.Table) -> tuple[Unit, Pairs]:
    """The unit and its pairs out of a one-row table of ``UNITS``; shares its memory."""
    row = {name: unit_row[name][0].as_py() for name in ("shard", "shard_key", "start", "stop")}
    return Unit(**row), Pairs(unit_row["pairs"].combine_chunks().flatten())


def _unit_row(unit: Unit, held: list[pa.Table]) -> pa.Table:
    pairs = pa.concat_tables(held).to_struct_array().combine_chunks().cast(READ_ROW)
    if len(pairs) != unit.rows:
        raise AssertionError(f"{unit}: {len(pairs)} rows read, {unit.rows} planned")
    values = [unit.shard, unit.shard_key, unit.start, unit.stop]
    columns = [pa.array([value]) for value in values]
    whole = pa.ListArray.from_arrays(pa.array([0, len(pairs)], pa.int32()), pairs)
    return pa.Table.from_arrays([*columns, whole], schema=UNITS)


class _Ids:
    """The pair ids of a shard so far, as hashes."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def note(self, ids: list[str | None]) -> list[bool]:
        """Remembers ids; says which of them were there before."""
        repeated = []
        for pair_id in ids:
            repeated.append(pair_id is not None and hash(pair_id) in self._seen)
            if pair_id is not None:
                self._seen.add(hash(pair_id))
        return repeated

    def mark(self, pairs: pa.Table) -> pa.Table:
        """Adds the defect of a repeated id to pairs that have none yet."""
        repeated = pa.array(self.note(pairs["pair_id"].to_pylist()), pa.bool_())
        text = "pair_id repeats that of an earlier row of the shard"
        none = pa.scalar(None, pa.string())
        defect = pc.coalesce(pairs["defect"], pc.if_else(repeated, text, none))
        return pairs.set_column(pairs.num_columns - 1, "defect", defect)


class _GroupReader:
    """Row groups of one shard, as pairs with their defects."""

    def __init__(self, source: SourceFile, columns: ColumnMapping) -> None:
        self._source, self._columns = source, columns
        file = self._open()
        self._schema = file.schema_arrow
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        self._rows: list[int] = [group.num_rows for group in groups]
        self._file = file

    @property
    def count(self) -> int:
        return len(self._rows)

    def rows(self, group: int) -> int:
        return self._rows[group]

    def read(self, group: int) -> Iterator[pa.Table]:
        """The group's pairs; rows behind a page that cannot be decoded have that as defect."""
        done, columns = 0, self._columns.needed(self._schema)
        try:
            for pairs in self._batches(self._file, group, columns, BATCH_ROWS):
                yield pairs
                done += pairs.num_rows
        except _DECODE_ERRORS as error:
            yield from self._salvage(group, done, self._corruption(error))

    def read_ids(self, group: int) -> list[str | None]:
        """The group's pair ids; null where they cannot be decoded."""
        ids: list[str | None] = []
        try:
            columns = self._columns.id_columns(self._schema)
            for batch in self._open().iter_batches(BATCH_ROWS, row_groups=[group], columns=columns):
                ids += self._columns.pair_ids(batch).to_pylist()
        except _DECODE_ERRORS as error:
            self._corruption(error)
        return ids + [None] * (self._rows[group] - len(ids))

    def _salvage(self, group: int, done: int, why: str) -> Iterator[pa.Table]:
        """Rows one by one up to the first that cannot be decoded; the rest as defects."""
        columns = self._columns.needed(self._schema)
        try:
            single = self._batches(self._open(), group, columns, 1)
            for pairs in itertools.islice(single, done, None):
                yield pairs
                done += 1
        except _DECODE_ERRORS as error:
            why = self._corruption(error)
        lost = self._rows[group] - done
        nothing = pa.Table.from_arrays([pa.nulls(lost, f.type) for f in PAIRS], schema=PAIRS)
        ids = pa.array(self.read_ids(group)[done:], pa.string())
        unreadable = nothing.set_column(0, "pair_id", ids)
        yield unreadable.append_column("defect", pa.repeat(pa.scalar(why), lost))

    def _batches(
        self, file: pq.ParquetFile, group: int, columns: list[str], size: int
    ) -> Iterator[pa.Table]:
        for batch in file.iter_batches(size, row_groups=[group], columns=columns):
            pairs = self._columns.to_pairs(batch)
            pairs.validate(full=True)  # text that is not UTF-8 would fail far from here
            yield pairs.append_column("defect", row_problems(pairs))

    def _open(self) -> pq.ParquetFile:
        self._source.seek(0)
        try:
            return pq.ParquetFile(
                pa.PythonFile(self._source, mode="r"),
                buffer_size=_BUFFER,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        except _DECODE_ERRORS as error:
            raise StorageError(
                f"{self._source.name}: {self._corruption(error)} since the plan was made; "
                "was the shard overwritten during the run?"
            ) from error

    def _corruption(self, error: Exception) -> str:
        if self._source.failure is not None:
            raise self._source.failure from error
        return f"corrupt data page: {str(error).strip().splitlines()[0][:200]}"
