"""Whose labels a snapshot has, and by what they follow from votes: of one judge, or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from pipeline.aggregation.composition import Composition
from pipeline.aggregation.labeler import Labeler
from pipeline.aggregation.policy import rule_record
from pipeline.aggregation.relabel import Relabeler
from pipeline.aggregation.stored_labels import LabelsOfOne, LabelsOfSeveral, Piece, StoredLabels
from pipeline.parts.forgotten import Forgotten
from pipeline.snapshots.judged_rows import JudgedRows, OneJudge, SideBySide, row_ranges
from pipeline.snapshots.snapshot_inventory import CommittedPart, InventoryShard
from pipeline.store.object_store import Store
from schemas.error_bounds import ErrorBound
from schemas.manifest import SnapshotPolicy


class WhoseLabels(Protocol):
    """What a snapshot is made by, beside its parts."""

    @property
    def judge_id(self) -> str:
        """Of whom its labels are."""
        ...

    @property
    def judges(self) -> tuple[str, ...]:
        """Whose parts it is made of."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """``judge`` of the manifest."""
        ...

    @property
    def cards(self) -> tuple[Mapping[str, Any], ...]:
        """``judges`` of the manifest."""
        ...

    def policy(self, bound: ErrorBound | None) -> SnapshotPolicy:
        """``policy`` of the manifest."""
        ...

    def rows(self, output: Store, forgotten: Forgotten) -> JudgedRows:
        """Reads its rows."""
        ...

    def stored(self, output: Store, shards: Sequence[InventoryShard]) -> StoredLabels:
        """Its labels, to test a bound on."""
        ...

    def within(self, bound: ErrorBound) -> Self:
        """The same, of which labels that a bound does not hold for are undecided."""
        ...


@dataclass(frozen=True)
class OfOne:
    """The labels of one judge, by its card."""

    of: Mapping[str, Any]
    labeler: Labeler

    @property
    def judge_id(self) -> str:
        """See :class:`WhoseLabels`."""
        return str(self.of["judge_id"])

    @property
    def judges(self) -> tuple[str, ...]:
        """See :class:`WhoseLabels`."""
        return (self.judge_id,)

    @property
    def card(self) -> Mapping[str, Any]:
        """Its card, with the calibration that is used."""
        card = {name: value for name, value in self.of.items() if name != "calibration"}
        fitted = self.labeler.calibration
        return card if fitted is None else card | {"calibration": fitted.model_dump(mode="json")}

    @property
    def cards(self) -> tuple[Mapping[str, Any], ...]:
        """None beside :attr:`card`."""
        return ()

    def policy(self, bound: ErrorBound | None) -> SnapshotPolicy:
        """See :class:`WhoseLabels`."""
        fitted = self.labeler.calibration
        return SnapshotPolicy(
            policy_id=self.labeler.policy_id,
            rule=rule_record(self.labeler.rule),
            calibration_id=fitted.calibration_id if fitted else None,
            bound=bound,
        )

    def rows(self, output: Store, forgotten: Forgotten) -> JudgedRows:
        """See :class:`WhoseLabels`."""
        return OneJudge(output, self.judge_id, Relabeler(self.labeler), forgotten)

    def stored(self, output: Store, shards: Sequence[InventoryShard]) -> StoredLabels:
        """See :class:`WhoseLabels`."""
        parts = [part.key for shard in shards for part in shard.parts]
        return LabelsOfOne(output, self.judge_id, self.labeler, parts)

    def within(self, bound: ErrorBound) -> Self:
        """See :class:`WhoseLabels`."""
        return replace(self, labeler=self.labeler.at_least(bound.min_confidence or 0.0))


@dataclass(frozen=True)
class OfSeveral:
    """The labels of several judges together."""

    composition: Composition

    @property
    def judge_id(self) -> str:
        """See :class:`WhoseLabels`."""
        return self.composition.judge_id

    @property
    def judges(self) -> tuple[str, ...]:
        """See :class:`WhoseLabels`."""
        return tuple(each.judge_id for each in self.composition.members)

    @property
    def card(self) -> Mapping[str, Any]:
        """See :attr:`Composition.card`."""
        return self.composition.card

    @property
    def cards(self) -> tuple[Mapping[str, Any], ...]:
        """See :attr:`Composition.cards`."""
        return self.composition.cards

    def policy(self, bound: ErrorBound | None) -> SnapshotPolicy:
        """See :class:`WhoseLabels`."""
        by = self.composition
        return SnapshotPolicy(by.policy_id, by.record(), by.calibration_id, bound)

    def rows(self, output: Store, forgotten: Forgotten) -> JudgedRows:
        """See :class:`WhoseLabels`."""
        return SideBySide.of_composition(output, self.composition, forgotten)

    def stored(self, output: Store, shards: Sequence[InventoryShard]) -> StoredLabels:
        """See :class:`WhoseLabels`."""
        pieces = [
            Piece(tuple(_place(parts, start) for parts in shard.of_judges), stop - start)
            for shard in shards
            for start, stop in row_ranges(shard.of_judges)
        ]
        there = [piece for piece in pieces if any(piece.parts)]
        return LabelsOfSeveral(output, self.composition, there)

    def within(self, bound: ErrorBound) -> Self:
        """See :class:`WhoseLabels`."""
        kept = self.composition.at_least(bound.min_confidence or 0.0, bound.ahead)
        return replace(self, composition=kept)


def _place(parts: Sequence[CommittedPart], row: int) -> tuple[str, int] | None:
    """The key of the part that holds a row, and the row's place in it."""
    holding = (each for each in parts if each.start <= row < each.stop)
    return next(((each.key, row - each.start) for each in holding), None)
