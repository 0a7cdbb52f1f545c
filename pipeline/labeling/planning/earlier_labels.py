"""The labels that rows of a unit have already, in the part to be revised or anywhere by this judge.

A row that is the same pair (by hash of prompt, candidates and media) as one judged before, in
whatever shard and version, has that one's newest votes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.judging.votes import Vote
from pipeline.labeling.open_rows import Settled
from pipeline.labeling.planning.reopening import Reopening
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.label_index import LabelIndex
from schemas.labels import NOT_ASKED


@dataclass(frozen=True)
class EarlierLabels:
    """Labels that a judge has given; any thread may ask.

    Attributes:
        part: the part that is being revised, as a table of labels v2; its votes stay in Arrow's
            memory. None of rows that have no part yet.
        index: of the judge's labels; None where nothing is to be reused.
        reopening: which of them are asked about again; none by default.
        forgotten: pairs that are not to be judged, nor their labels reused.
        settled: rows that a judge before has settled, so that this one is not asked.
    """

    part: pa.Table | None = None
    index: LabelIndex | None = None
    reopening: Reopening | None = None
    forgotten: Forgotten = field(default_factory=Forgotten)
    settled: Mapping[int, Settled] = field(default_factory=dict)

    def of_row(self, row: int) -> Mapping[str, Any] | None:
        """The label of a row in the part that is being revised; None where it was never asked."""
        if self.part is None:
            return None
        offset = row - self.part["row"][0].as_py()
        label: dict[str, Any] = self.part.slice(offset, 1).to_pylist()[0]
        return None if label["status"] == NOT_ASKED else label

    def of_pair(self, pair_hash: str) -> Mapping[str, Any] | None:
        """The newest label of a pair, wherever it is; None if it was never judged.

        Raises:
            InputError: the index, or the part with the label, is damaged.
            StorageError: the store fails.
        """
        return self.index.find(pair_hash) if self.index else None

    def votes_there(self, row: int) -> Mapping[str, Any] | None:
        """The label of a row that is settled, where this judge has votes about its pair.

        Raises:
            InputError, StorageError: as :meth:`of_pair` raises them.
        """
        pair_hash = self.settled[row].pair_hash
        label = self.of_row(row) or (self.of_pair(pair_hash) if pair_hash else None)
        return label if label and label["votes"] else None

    def votes(self, label: Mapping[str, Any]) -> list[Vote] | None:
        """The votes that a row asked about again goes on with; None where its label stands."""
        return self.reopening.votes(label) if self.reopening else None

    def stands(self, label: Mapping[str, Any], kinds: Collection[str]) -> bool:
        """Whether a row that was to be looked at has none of the kinds that this was for."""
        return self.reopening is not None and self.reopening.stands(label, kinds)


NONE = EarlierLabels()
