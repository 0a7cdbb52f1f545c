"""Which columns of a shard's file a mapping reads, and those that the shard's folders stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.pairs.batch_rows import rows_at_a_time
from pipeline.pairs.mapped_rows import to_pairs
from pipeline.pairs.pair_mapping import PairMapping

_NULL = "__HIVE_DEFAULT_PARTITION__"


class ShardColumns:
    """The columns of one shard: its file's, and those of folders named ``column=value``.

    Attributes:
        schema: of all of them.
    """

    def __init__(self, key: str, stored: pa.Schema) -> None:
        """Binds to a shard's key, relative to the input root, and its file's schema."""
        folders = (part.partition("=") for part in key.split("/")[:-1])
        self._folders = {
            name: None if value == _NULL else unquote(value)
            for name, equals, value in folders
            if name and equals and name not in stored.names
        }
        self.schema = stored
        for name in self._folders:
            self.schema = self.schema.append(pa.field(name, pa.string()))

    def read_by(self, mapping: PairMapping, stored: pq.ParquetSchema) -> list[str]:
        """What a mapping reads of the file: columns, or fields of them such as ``info.clips``."""
        names = [
            name
            for name in mapping.needed(self.schema)
            if name.partition(".")[0] not in self._folders
        ]
        if mapping.media:
            return names
        leaves = (stored.column(number) for number in range(len(stored)))
        return [
            leaf.path
            for leaf in leaves
            if any(f"{leaf.path}.".startswith(f"{name}.") for name in names)
            and not (leaf.physical_type.endswith("BYTE_ARRAY") and leaf.logical_type.type == "NONE")
        ]

    def whole(self, batch: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
        """Rows of the file, with the columns of the folders."""
        for name, value in self._folders.items():
            column = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            batch = batch.append_column(name, column)
        return batch


def narrow_batches(
    file: pq.ParquetFile, key: str, mapping: PairMapping, groups: Sequence[int], rows: int
) -> Iterator[pa.Table]:
    """Rows of a shard as pairs; fewer at a time where they are large.

    Args:
        file: the shard's.
        key: its key, relative to the input root.
        mapping: narrowed to the columns that are wanted.
        groups: numbers of row groups.
        rows: how many at a time at most.
    """
    columns = ShardColumns(key, file.schema_arrow)
    names = columns.read_by(mapping, file.schema)
    for group in groups:
        size = rows_at_a_time(file.metadata.row_group(group), names, rows)
        for batch in file.iter_batches(size, row_groups=[group], columns=names, use_threads=False):
            yield to_pairs(mapping, columns.whole(batch))
