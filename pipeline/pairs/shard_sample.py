"""A few rows of a shard, mapped before anything is judged: a shard of which none fits is named."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.pair_fields import READ
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shard_columns import narrow_batches
from pipeline.pairs.stored_columns import stored_column
from pipeline.store.object_store import Entry, Store

_ROWS = 64


def sample_problem(store: Store, entry: Entry, mapping: PairMapping) -> str | None:
    """Why none of a shard's first rows fits a mapping; None if one fits, or cannot be decoded.

    Media are not read.

    Raises:
        StorageError: the store fails.
    """
    source = store.open(entry.key, entry.size)
    wanted = mapping.narrowed(READ.names)
    try:
        with source.reading():
            file = pq.ParquetFile(pa.PythonFile(source, mode="r"))
            footer = file.metadata
            groups = [n for n in range(footer.num_row_groups) if footer.row_group(n).num_rows]
            if not groups:
                return None
            first = next(narrow_batches(file, entry.key, wanted, groups[:1], _ROWS), None)
    except pa.ArrowInvalid:
        return None  # what cannot be decoded is quarantined row by row when it is read
    if first is None:  # pages that end early
        return None
    defects = first["defect"]
    if defects.null_count or not len(defects):
        return None
    return f"none of its first {len(defects)} rows fits the mapping: row 0: {defects[0].as_py()}"


def stored_as_pairs(mapping: PairMapping, schema: pa.Schema) -> bool:
    """Whether every column that is read is one of pairs v2, in some layout of Arrow.

    Then no value can be of another type, and no sample says more than the schema.
    """
    for group in mapping.groups:
        if not mapping.is_v2(group, schema):
            return False
        try:
            for name in group.columns:
                if name in schema.names:
                    stored_column(pa.nulls(0, schema.field(name).type), READ.field(name).type)
        except Mismatch:
            return False
    return True
