"""Rows of any table as pairs v2: stored columns in whole, all other fields row by row.

Types never decide whether a table can be read: a value that does not fit costs its row, whose
defect then names the field, the expression, what it got and what it expected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs.array_of import array_of, holds_bytes
from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.arrow_values import values_of
from pipeline.pairs.contents import KINDS
from pipeline.pairs.contract_checks import row_problems
from pipeline.pairs.expressions import Expression
from pipeline.pairs.pair_fields import READ, Group, Reading
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.stored_columns import stored_column
from pipeline.pairs.text_columns import texts_of
from pipeline.pairs.v1_columns import Whole

_BATCH_BYTES = 2**30  # pieces that stay clear of the 2 GiB that 32-bit offsets can address
_Problems = dict[int, list[str]]
_Numbers = npt.NDArray[np.intp]  # of rows


def to_pairs(
    mapping: PairMapping, table: pa.Table | pa.RecordBatch, ids: Sequence[str] | None = None
) -> pa.Table:
    """Rows as pairs in memory (``pair_fields.READ``), in their order.

    Args:
        mapping: where the fields are.
        table: the foreign rows.
        ids: what to call them, if the mapping gives no ids.

    Returns:
        exactly the columns of ``READ``.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    pieces, done = [], 0
    for batch in _pieces(table):
        named = None if ids is None else ids[done : done + len(batch)]
        pieces.append(_piece(mapping, batch, named))
        done += len(batch)
    return pa.concat_tables(pieces)


def pair_of(mapping: PairMapping, row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """One row, given as Python values, as a pair in memory, and what does not fit in it."""
    pair: dict[str, Any] = dict.fromkeys(READ.names)
    problems: list[str] = []
    schema = pa.schema([(name, pa.null()) for name in row])
    for group in mapping.groups:
        made, found = group.read(
            mapping.by_expressions(group), row, _reading(mapping, group, schema)
        )
        pair |= made
        problems += found
    return pair, problems


def pair_ids(mapping: PairMapping, batch: pa.RecordBatch) -> pa.Array:
    """The ids alone, as far as they can be read, of a batch that needs no other column."""
    return _piece(mapping.narrowed(["pair_id"]), batch, None)["pair_id"].combine_chunks()


def _piece(mapping: PairMapping, batch: pa.RecordBatch, ids: Sequence[str] | None) -> pa.Table:
    columns = {field.name: pa.nulls(len(batch), field.type) for field in READ}
    problems: _Problems = defaultdict(list)
    by_row: list[Group] = []
    for group in mapping.groups:
        if mapping.is_v2(group, batch.schema):
            try:
                columns |= _stored(mapping, group, batch)
                continue
            except Mismatch:  # read value by value, then
                pass
        if mapping.by_expressions(group):
            by_row.append(group)
    if by_row:
        columns |= _read(mapping, by_row, batch, problems)
    if ids is not None:
        columns["pair_id"] = pa.array(ids, pa.string())
    if mapping.only is None:
        columns["defect"] = row_problems(columns)
    if problems:
        texts = ["; ".join(problems[n]) if n in problems else None for n in range(len(batch))]
        columns["defect"] = pc.coalesce(pa.array(texts, pa.string()), columns["defect"])
    return pa.Table.from_arrays([columns[name] for name in READ.names], schema=READ)


def _stored(mapping: PairMapping, group: Group, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """A group's columns, read from the columns of their own names that are there."""
    names = [name for name in group.columns if name in batch.schema.names]
    wanted = [name for name in names if mapping.only is None or name in mapping.only]
    return {name: stored_column(batch.column(name), READ.field(name).type) for name in wanted}


def _read(
    mapping: PairMapping, groups: Sequence[Group], batch: pa.RecordBatch, problems: _Problems
) -> dict[str, pa.Array]:
    """The columns of some groups: of each group's ordinary rows at once, of others row by row."""
    columns: dict[str, pa.Array] = {}
    others: list[tuple[Group, _Numbers]] = []
    for group in groups:
        made, ordinary = _whole(mapping, group, batch)
        columns |= made
        if not ordinary.all():
            others.append((group, np.flatnonzero(~ordinary)))
    read = _read_rows(mapping, others, batch, problems)
    for group, numbers in others:
        for name in group.columns:
            whole = len(numbers) == len(batch)
            columns[name] = read[name] if whole else _mixed(columns[name], read[name], numbers)
    return columns


def _mixed(column: pa.Array, others: pa.Array, numbers: _Numbers) -> pa.Array:
    """A column with other values in the rows of these numbers."""
    order = np.arange(len(column))
    order[numbers] = len(column) + np.arange(len(others))
    return pa.concat_arrays([column, others]).take(pa.array(order))


def _whole(mapping: PairMapping, group: Group, batch: pa.RecordBatch) -> Whole:
    """A group's columns, and the rows of which they hold: none of what is read row by row."""
    try:
        if group.whole is not None and mapping.is_v1(group, batch.schema):
            return group.whole(batch)
        # A placeholder is never a mere text where the layout says so.
        if group.texts is not None and not mapping.is_stored(group) and not mapping.placeholders:
            texts, plain = texts_of(mapping.by_expressions(group), batch)
            columns, ordinary = group.texts(texts)
            return columns, ordinary & plain
    except Mismatch:  # read value by value, then
        pass
    return {}, np.zeros(len(batch), bool)


def _read_rows(
    mapping: PairMapping,
    wanted: Sequence[tuple[Group, _Numbers]],
    batch: pa.RecordBatch,
    problems: _Problems,
) -> dict[str, pa.Array]:
    """The columns of groups, evaluated row by row for the rows of these numbers."""
    expressions = [mapping.by_expressions(group) for group, _ in wanted]
    reads = [Expression(text).reads(batch.schema) for es in expressions for text in es.values()]
    roots = {path[:1] for each in reads for path in each.paths}
    names = [name for name in batch.schema.names if () in roots or (name,) in roots]
    values = [_values(batch, name) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    rows = rows or [{} for _ in range(len(batch))]
    columns: dict[str, tuple[_Numbers, list[Any]]] = {}
    for (group, numbers), by_field in zip(wanted, expressions, strict=True):
        how = _reading(mapping, group, batch.schema)
        columns |= {name: (numbers, []) for name in group.columns}
        for number in numbers.tolist():
            made, found = group.read(by_field, rows[number], how)
            if found:
                problems[number] += found
            for name in group.columns:
                columns[name][1].append(made[name])
    media = any(holds_bytes(batch.schema.field(name).type) for name in names)
    make = array_of if media else pa.array  # which is quicker with texts
    return {name: _array(make, name, each, of, problems) for name, (of, each) in columns.items()}


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    try:
        return values_of(batch.column(name))
    except UnicodeDecodeError as error:
        where = (error.encoding, error.object, error.start, error.end)
        raise UnicodeDecodeError(*where, f"in column {name}") from error


def _array(
    make: Callable[[Sequence[Any], pa.DataType], pa.Array],
    name: str,
    values: list[Any],
    numbers: _Numbers,
    problems: _Problems,
) -> pa.Array:
    """A column of Python values; one that Arrow cannot hold costs its row."""
    kind = READ.field(name).type
    try:
        return make(values, kind)
    except (pa.ArrowException, UnicodeEncodeError):
        arrays = []
    for number, value in zip(numbers.tolist(), values, strict=True):
        try:
            arrays.append(make([value], kind))
        except (pa.ArrowException, UnicodeEncodeError) as error:
            problems[number].append(f"{name}: {str(error).splitlines()[0][:200]}")
            arrays.append(pa.nulls(1, kind))
    return pa.concat_arrays(arrays)


def _reading(mapping: PairMapping, group: Group, schema: pa.Schema) -> Reading:
    """How a group's values are put together.

    For a kind of media a placeholder is never a mere text where the layout says so, or where a
    mapped column has such media.
    """
    expressions = mapping.by_expressions(group)
    given = {kind: expressions.get(f"{kind}s") for kind in KINDS}
    strict = frozenset(
        kind
        for kind, text in given.items()
        if text is not None and not mapping.stored
        if kind in mapping.placeholders or Expression(text).reads(schema).paths
    )
    return Reading(strict, mapping.media, mapping.is_v1(group, schema))


def _pieces(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The table in zero-copy batches, at least one, none too large for 32-bit offsets."""
    waiting = table.to_batches()[::-1]
    if not waiting:
        empty = [pa.nulls(0, field.type) for field in table.schema]
        waiting = [pa.RecordBatch.from_arrays(empty, schema=table.schema)]
    while waiting:
        batch = waiting.pop()
        if batch.num_rows > 1 and batch.nbytes > _BATCH_BYTES:
            half = batch.num_rows // 2
            waiting += [batch.slice(half), batch.slice(0, half)]
        else:
            yield batch
