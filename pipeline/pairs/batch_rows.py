"""How many rows of a shard are decoded at a time, so that a few bytes do not fill the memory."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.parquet as pq

BATCH_ROWS = 256  # at most, decoded at a time
_BATCH_BYTES = 64 * 2**20  # about the most bytes decoded at a time; one row is the least
_LARGE_ROWS = 32  # at most, where their mean is above _SMALL_ROW
_SMALL_ROW = 64 * 2**10  # bytes


def rows_at_a_time(
    info: pq.RowGroupMetaData, columns: Sequence[str] | None = None, most: int = BATCH_ROWS
) -> int:
    """How many rows to decode at a time: fewer where rows or the values they share are large.

    A guess that is too high is no error: what Arrow cannot decode at once is then read row by row.

    Args:
        info: the row group's.
        columns: those that are read, or fields of them such as ``info.clips``; all by default.
        most: of small rows.
    """
    mean, shared = 0, 0
    for column in map(info.column, range(info.num_columns)):
        path = column.path_in_schema + "."
        if columns is not None and not any(path.startswith(name + ".") for name in columns):
            continue
        mean += column.total_uncompressed_size // max(1, info.num_rows)
        if column.has_dictionary_page:
            stored = max(0, column.data_page_offset - column.dictionary_page_offset)
            inflation = column.total_uncompressed_size / max(1, column.total_compressed_size)
            dictionary = min(int(stored * inflation), column.total_uncompressed_size)
            items = -(-column.num_values // max(1, info.num_rows))  # of a list, in a row
            shared = max(shared, dictionary * items)  # as if each item held all of it
    most = most if mean <= _SMALL_ROW else _LARGE_ROWS
    return min(most, max(1, _BATCH_BYTES // max(1, mean, shared)))
