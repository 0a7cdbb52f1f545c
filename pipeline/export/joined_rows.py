"""The rows of a part: labels joined with the pairs that they are about, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.export.export_parts import Piece
from pipeline.pairs.columns import ColumnMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store

_LABELS_AT_ONCE = 256
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


@dataclass
class JoinedRows:
    """Reads pieces of shards.

    Attributes:
        output: where labels are, and ``label_columns`` what is read of them.
        source: the root of the shards.
    """

    output: Store
    source: Store
    columns: ColumnMapping
    label_columns: Sequence[str]

    def read(self, pieces: Sequence[Piece]) -> Iterator[JoinedRow]:
        """The kept rows of pieces of one shard, in order, media and all.

        Raises:
            InputError: a row is not the pair that its label is about.
            StorageError: a store fails.
        """
        entry, start = pieces[0].entry, pieces[0].start
        stop = pieces[-1].start + pieces[-1].rows
        kept = np.zeros(stop - start, np.bool_)
        for piece in pieces:
            kept[piece.start - start :][: piece.rows] = piece.kept_rows()
        columns = ("pair_id", *self.label_columns)
        labels = pieces[0].labels.read(self.output, columns, (start, stop))
        labels = labels.filter(pa.array(kept[labels["row"].to_numpy() - start]))
        for label, found in itertools.zip_longest(_each(labels), self._pairs(pieces)):
            number, pair = found or (None, None)
            if label is None or pair is None or label["row"] != number:
                raise AssertionError(f"{entry.key}: row {number} has no label, or has two")
            where = f"{self.source.path(entry.key)}, row {number}"
            if pair["defect"] is not None or pair["pair_id"] != label["pair_id"]:
                raise misjoined(where, pair["defect"] or f"its id is {pair['pair_id']!r}")
            yield JoinedRow(pair, label, where)

    def _pairs(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, Row]]:
        entry = pieces[0].entry
        reader = GroupReader(self.source.open(entry.key, entry.size), self.columns)
        for piece in pieces:
            kept, start = piece.kept_rows(), 0
            for pairs in reader.read(piece.group):
                for place in np.flatnonzero(kept[start : start + len(pairs)]).tolist():
                    yield piece.start + start + place, pairs.slice(place, 1).to_pylist()[0]
                start += len(pairs)


def misjoined(where: str, what: str) -> InputError:
    """A row is not the pair that its label is about."""
    return InputError(
        f"{where}: it is not the pair that was labelled: {what}; give the input.columns that the "
        "pairs were labelled with"
    )


def _each(labels: pa.Table) -> Iterator[Row]:
    for batch in labels.to_batches(max_chunksize=_LABELS_AT_ONCE):
        yield from batch.to_pylist()
