"""Labels as they follow from stored votes now: of pairs that people checked, and of a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pipeline.aggregation.composed_labels import Composer
from pipeline.aggregation.composition import Composition, Member
from pipeline.aggregation.giving_order import Bools
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.relabel import Relabeler
from pipeline.judging.votes import Vote
from pipeline.parts.index_update import update_index
from pipeline.parts.part_files import read_part
from pipeline.runtime.digest import digest
from pipeline.stats.arrays import Floats
from pipeline.store.object_store import Store
from schemas.labels import BY_GOLD, Status

_SAMPLED = 64  # parts, or rows that parts of all judges have in common: some 30,000 pairs


@dataclass(frozen=True)
class FoundLabel:
    """What stored votes say about a pair.

    Attributes:
        cluster: of the row.
        status: None where no judge gave votes.
        by_last: whether the last judge of a cascade gave it.
    """

    cluster: str | None
    status: str | None = None
    preference: str | None = None
    confidence: float | None = None
    by_last: bool = False


class StoredLabels(Protocol):
    """The labels of one judge, or of several together."""

    @property
    def judge_id(self) -> str:
        """Of whom they are."""
        ...

    @property
    def policy_id(self) -> str:
        """By what they are decided."""
        ...

    def of_pairs(self, pair_hashes: Iterable[str]) -> Mapping[str, FoundLabel]:
        """The labels of those pairs that were judged, by hash.

        Raises:
            InputError: stored votes are damaged.
            StorageError: the store fails.
        """
        ...

    def confidences(self) -> tuple[Floats, Bools]:
        """Those of the preferences in a sample of the corpus, the same for the same parts, and
        which of them the last judge of a cascade gave.

        Raises:
            InputError: a part is damaged.
            StorageError: the store fails.
        """
        ...


@dataclass(frozen=True)
class LabelsOfOne:
    """The labels of one judge.

    Attributes:
        parts: the keys of the corpus' parts.
    """

    output: Store
    judge_id: str
    labeler: Labeler
    parts: Sequence[str]

    @property
    def policy_id(self) -> str:
        """By what they are decided."""
        return self.labeler.policy_id

    def of_pairs(self, pair_hashes: Iterable[str]) -> Mapping[str, FoundLabel]:
        """See :class:`StoredLabels`."""
        rows = update_index(self.output, self.judge_id).find_many(pair_hashes)
        return {pair: self._label(row) for pair, row in rows.items()}

    def _label(self, row: Mapping[str, Any]) -> FoundLabel:
        votes = [Vote.from_row(vote) for vote in row["votes"]]
        if not votes:
            return FoundLabel(row["cluster"])
        label = self.labeler.decide(votes, row["rubric"])
        return FoundLabel(row["cluster"], label.status, label.preference, label.confidence)

    def confidences(self) -> tuple[Floats, Bools]:
        """See :class:`StoredLabels`."""
        relabeler, found = Relabeler(self.labeler), []
        for key in sorted(self.parts, key=digest)[:_SAMPLED]:
            found += _confidences(relabeler.table(read_part(self.output, key)))
        return _columns(found, None)


@dataclass(frozen=True)
class Piece:
    """Rows that all parts of the judges that have them hold entirely.

    Attributes:
        parts: of each judge the key of the part, and the place of the rows in it; None where the
            judge has none.
    """

    parts: tuple[tuple[str, int] | None, ...]
    rows: int


@dataclass(frozen=True)
class LabelsOfSeveral:
    """The labels of several judges together.

    Attributes:
        pieces: of the corpus.
    """

    output: Store
    composition: Composition
    pieces: Sequence[Piece]

    @property
    def judge_id(self) -> str:
        """Of whom they are."""
        return self.composition.judge_id

    @property
    def policy_id(self) -> str:
        """By what they are decided."""
        return self.composition.policy_id

    def of_pairs(self, pair_hashes: Iterable[str]) -> Mapping[str, FoundLabel]:
        """See :class:`StoredLabels`."""
        rows = rows_of_judges(self.output, self.composition.members, pair_hashes)
        return {pair: self._label(each) for pair, each in rows.items()}

    def _label(self, rows: Sequence[Mapping[str, Any] | None]) -> FoundLabel:
        cluster = next(row["cluster"] for row in rows if row is not None)
        by_gold = any(row is not None and row["decided_by"] == BY_GOLD for row in rows)
        label = None if by_gold else self.composition.label(rows)
        if label is None:
            return FoundLabel(cluster)
        by_last = self._last is not None and label.taken == len(rows) - 1
        return FoundLabel(cluster, label.status, label.preference, label.confidence, by_last)

    @property
    def _last(self) -> str | None:
        """The last judge of a cascade."""
        cascade = self.composition.rule.kind == "cascade"
        return self.composition.members[-1].judge_id if cascade else None

    def confidences(self) -> tuple[Floats, Bools]:
        """See :class:`StoredLabels`."""
        composer, found = Composer(self.composition), []
        relabelers = [Relabeler(each.labeler) for each in self.composition.members]
        for piece in sorted(self.pieces, key=lambda each: digest(str(each.parts)))[:_SAMPLED]:
            tables = [
                place
                and relabeler.table(read_part(self.output, place[0])).slice(place[1], piece.rows)
                for place, relabeler in zip(piece.parts, relabelers, strict=True)
            ]
            found += _confidences(composer.table(tables))
        return _columns(found, self._last)


def rows_of_judges(
    output: Store, members: Sequence[Member], pair_hashes: Iterable[str]
) -> dict[str, list[Mapping[str, Any] | None]]:
    """Each judge's newest row about each pair that any of them has judged.

    Raises:
        InputError: stored votes are damaged.
        StorageError: the store fails.
    """
    asked = list(pair_hashes)
    found = [update_index(output, each.judge_id).find_many(asked) for each in members]
    there = {pair for rows in found for pair in rows}
    return {pair: [rows.get(pair) for rows in found] for pair in asked if pair in there}


def _confidences(table: pa.Table) -> list[tuple[float, str | None]]:
    """Those of preferences, each with the judge that gave it."""
    columns = (table[name].to_pylist() for name in ("status", "confidence", "decided_by"))
    return [
        (score, judge)
        for status, score, judge in zip(*columns, strict=True)
        if status == Status.LABELED and score is not None
    ]


def _columns(found: list[tuple[float, str | None]], last: str | None) -> tuple[Floats, Bools]:
    scores = np.array([score for score, _ in found], np.float64)
    return scores, np.array([last is not None and judge == last for _, judge in found], np.bool_)
