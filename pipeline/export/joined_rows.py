"""The rows of a shard that are exported, and each joined with its label."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.export.labeled_shards import LabeledShard
from pipeline.pairs.isolated_reading import open_groups
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store

_ROWS_AT_ONCE, _BYTES_AT_ONCE = 256, 2**20  # as Python objects: media are copied
Row = dict[str, Any]


@dataclass(frozen=True)
class JoinedRow:
    """A pair and its label.

    Attributes:
        where: shard and row, for messages.
    """

    pair: Row
    label: Row
    where: str


def kept_pairs(
    source: Store,
    shard: LabeledShard,
    columns: PairMapping,
    kept: NDArray[np.bool_],
    read_seconds: float,
) -> Iterator[pa.Table]:
    """The pairs of the rows that are kept, some at a time, with their numbers as ``row``.

    Raises:
        InputError: one of them cannot be read, or not in time.
        StorageError: the store fails.
    """
    reader = open_groups(source, shard.entry.key, shard.entry.size, columns, read_seconds)
    stop = 0
    for group in range(reader.count):
        start, stop = stop, stop + reader.rows(group)
        if not kept[start:stop].any():
            continue
        for pairs in reader.read(group):
            inside = np.flatnonzero(kept[start : start + len(pairs)])
            numbered = pairs.append_column("row", pa.arange(start, start + len(pairs)))
            if len(inside):
                whole = len(inside) == len(pairs)
                found = numbered if whole else numbered.take(pa.array(inside))
                _check_read(source, shard, found)
                yield found
            start += len(pairs)


def _check_read(source: Store, shard: LabeledShard, pairs: pa.Table) -> None:
    unread = pairs.select(["row", "defect"]).filter(pairs["defect"].is_valid())
    for row in unread.slice(0, 1).to_pylist():
        raise InputError(
            f"{source.shown(shard.entry.key)}, row {row['row']}: the pair that was labelled cannot "
            f"be read: {row['defect']}; give the input section that the pairs were labelled with "
            "(input.map), or let reading take longer (input.read_seconds)"
        )


def joined_rows(
    output: Store,
    source: Store,
    shard: LabeledShard,
    columns: PairMapping,
    label_columns: Sequence[str],
    kept: NDArray[np.bool_],
    read_seconds: float,
) -> Iterator[JoinedRow]:
    """The kept rows of a shard with their labels, one at a time, media and all.

    Args:
        output: where the labels are, and ``label_columns`` what is read of them.
        source: where the shard is.
        kept: a truth value for each row of the shard.
        read_seconds: how long each batch of pairs may take.

    Raises:
        InputError: a row cannot be read, or is not the pair that its label is about.
        StorageError: a store fails.
    """
    first, last = np.flatnonzero(kept)[[0, -1]].tolist()
    labels = shard.read_labels(output, ("pair_id", *label_columns), (first, last + 1))
    labels = labels.filter(pa.array(kept[labels["row"].to_numpy()]))
    tables = kept_pairs(source, shard, columns, kept, read_seconds)
    pairs = itertools.chain.from_iterable(map(rows_of, tables))
    shown = source.shown(shard.entry.key)
    for label, pair in itertools.zip_longest(rows_of(labels), pairs):
        if label is None or pair is None or label["row"] != pair["row"]:
            raise AssertionError(f"{shard.entry.key}: label {label} for row {pair and pair['row']}")
        where = f"{shown}, row {pair['row']}"
        if pair["pair_id"] != label["pair_id"]:
            raise misjoined(where, f"its id is {pair['pair_id']!r}")
        yield JoinedRow(pair, label, where)


def misjoined(where: str, what: str) -> InputError:
    """A row is not the pair that its label is about."""
    return InputError(
        f"{where}: it is not the pair that was labelled: {what}; give the input.map that the "
        "pairs were labelled with"
    )


def rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a table, of which few at a time are Python objects."""
    small = _BYTES_AT_ONCE * len(table) // max(1, table.nbytes)
    for batch in table.to_batches(max_chunksize=max(1, min(_ROWS_AT_ONCE, small))):
        yield from batch.to_pylist()
