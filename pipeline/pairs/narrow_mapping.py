"""A column mapping that reads only some of its columns."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.columns import ColumnMapping
from pipeline.runtime.errors import InputError
from schemas.pairs import PAIRS


class NarrowMapping(ColumnMapping):
    """The mapping of some pairs-v1 columns; all others are null.

    Attributes:
        only: their names.
    """

    only: frozenset[str] = frozenset()

    @classmethod
    def of(cls, columns: ColumnMapping, only: Collection[str]) -> NarrowMapping:
        """Narrows a mapping."""
        specs = {name: getattr(columns, name) for name in ColumnMapping.model_fields}
        return cls.model_construct(**specs, only=frozenset(only))

    def needed(self, schema: pa.Schema) -> list[str]:
        """Top-level columns of ``schema`` that are read, in schema order."""
        uses = self.uses(schema)
        return [column for column, users in uses.items() if self.only.intersection(users)]

    def to_pairs(self, table: pa.Table | pa.RecordBatch) -> pa.Table:
        """Pairs with the columns named in ``only``; the others are null.

        Raises:
            InputError: such a column cannot be mapped.
        """
        (batch,) = table.to_batches() if isinstance(table, pa.Table) else (table,)
        arrays = []
        for field in PAIRS:
            try:
                wanted = field.name in self.only
                arrays.append(
                    self.one(field.name, batch) if wanted else pa.nulls(len(batch), field.type)
                )
            except Mismatch as mismatch:
                raise InputError(
                    f"the columns do not fit pairs v1: {field.name}: {mismatch}; give the "
                    "input.columns that the pairs were labelled with"
                ) from mismatch
        return pa.Table.from_batches([pa.RecordBatch.from_arrays(arrays, schema=PAIRS)])
