"""Reads the units of one shard: foreign columns mapped to pairs, bytes still compressed.

A unit travels as one row whose ``pairs`` column holds all its pairs, so that it stays whole
wherever the executor sends it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs.input_config import READ_SECONDS
from pipeline.pairs.isolated_reading import open_groups
from pipeline.pairs.pair_fields import READ
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.parts.units import Unit
from pipeline.store.object_store import Store

_UNIT_BYTES = 2**30  # stays clear of the 2 GiB that the 32-bit offsets of a unit can address

READ_ROW = pa.struct(list(READ))
UNITS = pa.schema(
    [
        ("shard", pa.string()),
        ("shard_key", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("corpus", pa.int8()),
        ("pairs", pa.list_(READ_ROW)),
    ]
)


@dataclass(frozen=True)
class ShardTask:
    """The units to read of one shard, ascending and without overlap.

    Attributes:
        key: object key under the input root.
        size: bytes.
        corpus: which of a run's inputs it belongs to.
    """

    key: str
    size: int
    units: tuple[Unit, ...]
    corpus: int = 0


def read_units(
    store: Store,
    task: ShardTask,
    mapping: PairMapping,
    max_bytes: int,
    read_seconds: float = READ_SECONDS,
) -> Iterator[pa.Table]:
    """Reads the units of a shard in order, in one pass.

    A unit whose decoded pairs exceed ``max_bytes`` by more than a quarter is split into consecutive
    units: plans know encoded sizes only, and a picture that many rows share is stored once but
    decoded for every row. The quarter is for what decoding adds to any unit, so that few are
    split. A unit has at least one row.

    Row groups without a unit are not read, except for their pair ids: an id that repeats an
    earlier one of the same shard is a defect of the later row.

    Yields:
        One-row tables of ``UNITS``.

    Raises:
        StorageError: the store fails. A corrupt page is no error but a defect of its rows and of
            the rest of their row group, since Arrow cannot read behind it.
    """
    groups = open_groups(store, task.key, task.size, mapping, read_seconds)
    ids = _Ids()
    limit = min(max_bytes + max_bytes // 4, _UNIT_BYTES)
    units, held, size = list(task.units), list[pa.Table](), 0
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
                wanted = rows.slice(start - position, min(unit.stop, end) - start)
                fitting = _fitting(wanted, limit - size) or (0 if held else 1)
                cut = start + fitting
                held.append(wanted.slice(0, fitting))
                if cut == end < unit.stop:
                    size += held[-1].nbytes
                    break
                whole = _unit_row(replace(unit, stop=cut), task.corpus, held)
                held, size = [], 0
                units[:1] = [replace(unit, start=cut)] if cut < unit.stop else []
                yield whole
            position = end


def first_pairs(
    store: Store, task: ShardTask, mapping: PairMapping, read_seconds: float
) -> pa.Table:
    """The first few pairs of a shard's first row group that has rows, with their defects."""
    groups = open_groups(store, task.key, task.size, mapping, read_seconds)
    filled = next(group for group in range(groups.count) if groups.rows(group))
    return next(groups.read(filled))


class Pairs:
    """The pairs of a unit, made Python rows one at a time: media stay in Arrow's memory."""

    def __init__(self, rows: pa.StructArray) -> None:
        """Wraps rows of ``READ_ROW``."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = self._rows[index].as_py()
        return row

    def questions(self) -> Iterator[list[dict[str, Any] | None] | None]:
        """The messages of each row, one at a time."""
        for messages in self._rows.field("messages"):
            yield messages.as_py()

    def part(self, start: int, stop: int) -> Pairs:
        """Rows ``[start, stop)``, sharing memory."""
        return Pairs(self._rows[start:stop])


def unit_of(unit_row: pa.Table) -> tuple[Unit, Pairs]:
    """The unit and its pairs out of a one-row table of ``UNITS``; shares its memory."""
    row = {name: unit_row[name][0].as_py() for name in ("shard", "shard_key", "start", "stop")}
    return Unit(**row), Pairs(unit_row["pairs"].combine_chunks().flatten())


def corpus_of(unit_row: pa.Table) -> int:
    """Which of a run's inputs the unit of a one-row table of ``UNITS`` belongs to."""
    return int(unit_row["corpus"][0].as_py())


def _fitting(rows: pa.Table, room: int) -> int:
    """How many of the first rows take at most ``room`` bytes."""
    if rows.nbytes <= room:
        return int(rows.num_rows)
    return bisect.bisect_right(range(1, rows.num_rows), room, key=lambda n: rows[:n].nbytes)


def _unit_row(unit: Unit, corpus: int, held: list[pa.Table]) -> pa.Table:
    pairs = pa.concat_tables(held).to_struct_array().combine_chunks().cast(READ_ROW)
    if len(pairs) != unit.rows:
        raise AssertionError(f"{unit}: {len(pairs)} rows read, {unit.rows} planned")
    values = [unit.shard, unit.shard_key, unit.start, unit.stop, corpus]
    fields = zip(UNITS, values, strict=False)
    columns = [pa.array([value], field.type) for field, value in fields]
    whole = pa.ListArray.from_arrays(pa.array([0, len(pairs)], pa.int32()), pairs)
    return pa.Table.from_arrays([*columns, whole], schema=UNITS)


class _Ids:
    """The pair ids of a shard so far, as hashes."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def note(self, ids: list[str | None]) -> list[bool]:
        """Remembers ids; returns which of them were seen before."""
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
        return pairs.set_column(pairs.column_names.index("defect"), "defect", defect)
