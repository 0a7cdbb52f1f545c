"""Rows of any table as pairs v1: stored columns in whole, mapped fields row by row.

Types never decide whether a table can be read: a value that does not fit costs its row, whose
defect then names the field, the expression, what it got and what it expected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.arrow_values import values_of
from pipeline.pairs.contract_checks import row_problems
from pipeline.pairs.expressions import Expression
from pipeline.pairs.pair_fields import Group
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.placing import KINDS
from pipeline.pairs.stored_columns import stored_column
from schemas.pairs import PAIRS

_BATCH_BYTES = 2**30  # pieces that stay clear of the 2 GiB that 32-bit offsets can address
_Problems = dict[int, list[str]]


def to_pairs(
    mapping: PairMapping, table: pa.Table | pa.RecordBatch, ids: Sequence[str] | None = None
) -> pa.Table:
    """Rows as pairs v1, in their order, with the column ``defect``.

    Args:
        mapping: where the fields are.
        table: the foreign rows.
        ids: what to call them, if the mapping gives no ids.

    Returns:
        exactly the columns of `PAIRS`, and ``defect``: why the row cannot be judged, or null.
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
    """One row, given as Python values, as a row of pairs v1, and what does not fit in it."""
    pair: dict[str, Any] = dict.fromkeys(PAIRS.names)
    problems: list[str] = []
    schema = pa.schema([(name, pa.null()) for name in row])
    for group in mapping.groups:
        expressions = mapping.by_expressions(group)
        made, found = group.read(expressions, row, _strict(mapping, expressions, schema))
        pair |= made
        problems += found
    return pair, problems


def pair_ids(mapping: PairMapping, batch: pa.RecordBatch) -> pa.Array:
    """The ids alone, as far as they can be read, of a batch that needs no other column."""
    return _piece(mapping.narrowed(["pair_id"]), batch, None)["pair_id"].combine_chunks()


def _piece(mapping: PairMapping, batch: pa.RecordBatch, ids: Sequence[str] | None) -> pa.Table:
    columns = {field.name: pa.nulls(len(batch), field.type) for field in PAIRS}
    problems: _Problems = defaultdict(list)
    by_row: list[tuple[Group, dict[str, str]]] = []
    for group in mapping.groups:
        if mapping.is_stored(group):
            try:
                columns |= _stored(mapping, group, batch)
                continue
            except Mismatch:  # read value by value, then
                pass
        if expressions := mapping.by_expressions(group):
            by_row.append((group, expressions))
    if by_row:
        columns |= _read_rows(mapping, by_row, batch, problems)
    if ids is not None:
        columns["pair_id"] = pa.array(ids, pa.string())
    pairs = pa.Table.from_arrays([columns[name] for name in PAIRS.names], schema=PAIRS)
    defect = row_problems(pairs) if mapping.only is None else pa.nulls(len(batch), pa.string())
    if problems:
        texts = ["; ".join(problems[n]) if n in problems else None for n in range(len(batch))]
        defect = pc.coalesce(pa.chunked_array([pa.array(texts, pa.string())]), defect)
    return pairs.append_column("defect", defect)


def _stored(mapping: PairMapping, group: Group, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """A group's columns, read from the columns of their own names that are there."""
    names = [name for name in group.columns if name in batch.schema.names]
    wanted = [name for name in names if mapping.only is None or name in mapping.only]
    return {name: stored_column(name, batch.column(name)) for name in wanted}


def _read_rows(
    mapping: PairMapping,
    groups: Sequence[tuple[Group, dict[str, str]]],
    batch: pa.RecordBatch,
    problems: _Problems,
) -> dict[str, pa.Array]:
    """The columns of some groups, evaluated row by row."""
    reads = [Expression(text).reads(batch.schema) for _, es in groups for text in es.values()]
    roots = {path[:1] for each in reads for path in each.paths}
    names = [name for name in batch.schema.names if () in roots or (name,) in roots]
    values = [values_of(batch.column(name)) for name in names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    rows = rows or [{} for _ in range(len(batch))]
    columns: dict[str, list[Any]] = defaultdict(list)
    for group, expressions in groups:
        strict = _strict(mapping, expressions, batch.schema)
        for number, row in enumerate(rows):
            made, found = group.read(expressions, row, strict)
            if found:
                problems[number] += found
            for name in group.columns:
                columns[name].append(made[name])
    return {name: _array(name, each, problems) for name, each in columns.items()}


def _array(name: str, values: list[Any], problems: _Problems) -> pa.Array:
    """A column of pairs v1 of Python values; one that Arrow cannot hold costs its row."""
    kind = PAIRS.field(name).type
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, UnicodeEncodeError):
        arrays = []
    for number, value in enumerate(values):
        try:
            arrays.append(pa.array([value], kind))
        except (pa.ArrowException, UnicodeEncodeError) as error:
            problems[number].append(f"{name}: {str(error).splitlines()[0][:200]}")
            arrays.append(pa.nulls(1, kind))
    return pa.concat_arrays(arrays)


def _strict(mapping: PairMapping, expressions: Mapping[str, str], schema: pa.Schema) -> set[str]:
    """Kinds of media for which a placeholder is never a mere text.

    The layout says so, or a mapped column has such media.
    """
    given = {kind: expressions.get(f"{kind}s") for kind in KINDS}
    return {
        kind
        for kind, text in given.items()
        if text is not None and not mapping.stored
        if kind in mapping.placeholders or Expression(text).reads(schema).paths
    }


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
