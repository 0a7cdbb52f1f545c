"""The rows of a part: labels joined with the pairs that they are about, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.assembly.export.parts import Piece
from pipeline.core.columns import ColumnMapping
from pipeline.core.errors import InputError
from pipeline.core.storage import Entry, Store
from pipeline.workers.row_groups import GroupReader

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
    _reader: tuple[Entry, GroupReader] | None = field(default=None, init=False)

    def read(self, piece: Piece) -> Iterator[JoinedRow]:
        """The kept rows of a piece, media and all.

        Raises:
            InputError: a row is not the pair that its label is about.
            StorageError: a store fails.
        """
        kept = piece.kept_rows()
        rows = (piece.start, piece.start + piece.rows)
        columns = ("pair_id", *self.label_columns)
        labels = piece.labels.read(self.output, columns, rows)
        labels = labels.filter(pa.array(kept[labels["row"].to_numpy() - piece.start]))
        for label, found in itertools.zip_longest(_each(labels), self._pairs(piece, kept)):
            number, pair = found or (None, None)
            if label is None or pair is None or label["row"] != number:
                raise AssertionError(f"{piece.entry.key}: row {number} has no label, or has two")
            where = f"{self.source.path(piece.entry.key)}, row {number}"
            if pair["defect"] is not None or pair["pair_id"] != label["pair_id"]:
                raise misjoined(where, pair["defect"] or f"its id is {pair['pair_id']!r}")
            yield JoinedRow(pair, label, where)

    def _pairs(self, piece: Piece, kept: NDArray[np.bool_]) -> Iterator[tuple[int, Row]]:
        if self._reader is None or self._reader[0] != piece.entry:
            file = self.source.open(piece.entry.key, piece.entry.size)
            self._reader = piece.entry, GroupReader(file, self.columns)
        start = 0
        for pairs in self._reader[1].read(piece.group):
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
