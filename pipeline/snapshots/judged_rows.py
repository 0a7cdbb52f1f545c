"""The rows of a shard as a snapshot has them: of one judge, or of several side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.aggregation.composed_labels import Composer
from pipeline.aggregation.composition import Composition
from pipeline.aggregation.relabel import Relabeler
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.snapshots.snapshot_inventory import CommittedPart, InventoryShard
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED, VOTE, Status
from schemas.snapshots import SNAPSHOT_LABELS, SNAPSHOT_VOTES

_OF_ROW = ("label_id", "pair_id", "judge_id", "shard", "row")
_ORDER = [("row", "ascending"), ("judge", "ascending"), ("vote", "ascending")]


@dataclass(frozen=True)
class Rows:
    """Some rows of a shard: labels and rows in quarantine, their votes, and who judged them."""

    labels: pa.Table
    votes: pa.Table
    run_ids: frozenset[str]


class JudgedRows(Protocol):
    """Reads the rows of a shard, each decided by its votes."""

    def of(self, shard: InventoryShard, step: Callable[[int], None]) -> Iterator[Rows]:
        """The rows in order, a part or less at a time.

        Args:
            shard: of an inventory.
            step: called before every part with its rows; may raise to stop.

        Raises:
            InputError: a part is corrupt, or holds other rows than its name says.
            StorageError: the store fails.
        """
        ...


@dataclass(frozen=True)
class OneJudge:
    """The rows of one judge's parts."""

    output: Store
    judge_id: str
    relabeler: Relabeler
    forgotten: Forgotten

    def of(self, shard: InventoryShard, step: Callable[[int], None]) -> Iterator[Rows]:
        """See :class:`JudgedRows`."""
        for part in shard.parts:
            step(part.stop - part.start)
            rows = self.part(shard, part)
            yield Rows(_labels(rows), _votes(rows), _run_ids(rows))

    def part(self, shard: InventoryShard, part: CommittedPart, also: str = "") -> pa.Table:
        """A part's rows as labels v2.

        Args:
            shard: the part's.
            part: of this judge.
            also: a status that its rows may have beside those of labels.
        """
        table = read_part(self.output, part.key)
        if also != NOT_ASKED and (unasked := pc.sum(pc.equal(table["status"], NOT_ASKED)).as_py()):
            raise InputError(
                f"{shard.entry.key}, rows {part.start} to {part.stop - 1}: judge "
                f"{self.judge_id[:16]} is one of a cascade, and was not asked about {unasked} of "
                "them, which judges before it had settled: it has no label of its own for these. "
                "Publish the cascade (its configuration, without --judge), or have this judge "
                "label alone first (pairmill label with its configuration, without cascade)"
            )
        rows = pa.chunked_array([pa.array(range(part.start, part.stop), pa.int64())])
        as_named = (
            table["row"].equals(rows)
            and pc.unique(table["shard"]).to_pylist() == [shard.entry.key]
            and pc.unique(table["judge_id"]).to_pylist() == [self.judge_id]
            and set(pc.unique(table["status"]).to_pylist()) <= {*map(str, Status), also}
        )
        if not as_named:
            raise InputError(
                f"{self.output.path(part.key)}: expected the labels of rows {part.start} to "
                f"{part.stop - 1} of shard {shard.entry.key} by judge {self.judge_id[:16]}, got "
                "other rows; remove it, and run pairmill label again"
            )
        return self.relabeler.table(self.forgotten.redacted(table))


@dataclass(frozen=True)
class SideBySide:
    """The rows of several judges' parts, one label for each row, and the votes of all of them.

    Each judge may have cut the shard into other parts. Rows are taken from where one part begins or
    ends to the next such place, so that of each judge one part is held at a time.
    """

    judges: tuple[OneJudge, ...]
    composer: Composer

    @classmethod
    def of_composition(
        cls, output: Store, composition: Composition, forgotten: Forgotten
    ) -> SideBySide:
        """The rows of a composition's judges."""
        members = composition.members
        judges = [
            OneJudge(output, each.judge_id, Relabeler(each.labeler), forgotten) for each in members
        ]
        return cls(tuple(judges), Composer(composition))

    def of(self, shard: InventoryShard, step: Callable[[int], None]) -> Iterator[Rows]:
        """See :class:`JudgedRows`; rows that no judge has are left out."""
        readers = [
            _Reader(judge, shard, parts, step)
            for judge, parts in zip(self.judges, shard.of_judges, strict=True)
        ]
        for start, stop in row_ranges(shard.of_judges):
            tables = [reader.rows(start, stop) for reader in readers]
            there = [(number, table) for number, table in enumerate(tables) if table is not None]
            if not there:
                continue
            labels = _labels(self.composer.table(tables))
            run_ids = frozenset().union(*(_run_ids(table) for _, table in there))
            yield Rows(labels, _votes_of_all(there, labels["label_id"], start), run_ids)


def row_ranges(of_judges: Sequence[Sequence[CommittedPart]]) -> list[tuple[int, int]]:
    """The ranges from one border of any part to the next, ascending."""
    borders = {at for parts in of_judges for part in parts for at in (part.start, part.stop)}
    return list(itertools.pairwise(sorted(borders)))


class _Reader:
    """Reads one judge's rows of a shard in order, each part once."""

    def __init__(
        self,
        judge: OneJudge,
        shard: InventoryShard,
        parts: Sequence[CommittedPart],
        step: Callable[[int], None],
    ) -> None:
        self._judge, self._shard, self._step = judge, shard, step
        self._parts = iter(parts)
        self._part = next(self._parts, None)
        self._table: pa.Table | None = None

    def rows(self, start: int, stop: int) -> pa.Table | None:
        """Those of a range that lies within a part, or between parts: there are none then."""
        while self._part is not None and self._part.stop <= start:
            self._part, self._table = next(self._parts, None), None
        if self._part is None or self._part.start >= stop:
            return None
        if self._table is None:
            self._step(self._part.stop - self._part.start)
            self._table = self._judge.part(self._shard, self._part, NOT_ASKED)
        return self._table.slice(start - self._part.start, stop - start)


def _labels(rows: pa.Table) -> pa.Table:
    return rows.select(SNAPSHOT_LABELS.names).replace_schema_metadata(SNAPSHOT_LABELS.metadata)


def _run_ids(rows: pa.Table) -> frozenset[str]:
    return frozenset(pc.unique(rows["run_id"]).to_pylist()) - {None}


def _votes(rows: pa.Table) -> pa.Table:
    """The votes of all rows: one row each."""
    votes = rows["votes"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(votes), 0).to_pylist()
    numbers = itertools.chain.from_iterable(map(range, lengths))
    of_row = pc.list_parent_indices(votes)
    flat = pc.list_flatten(votes)
    columns = {name: rows[name].take(of_row) for name in _OF_ROW}
    columns["vote"] = pa.array(numbers, pa.int32())
    for column in VOTE:
        columns[column.name] = pc.struct_field(flat, [column.name])
    return pa.table(columns, schema=SNAPSHOT_VOTES)


def _votes_of_all(
    there: Sequence[tuple[int, pa.Table]], label_ids: pa.ChunkedArray, first: int
) -> pa.Table:
    """The votes of several judges, those of a row together, by judge; with the row's label id."""
    found = [(number, _votes(table)) for number, table in there]
    numbers = pa.chunked_array([pa.array([n] * len(votes), pa.int32()) for n, votes in found])
    whole = pa.concat_tables([votes for _, votes in found])
    keys = whole.select(["row", "vote"]).append_column("judge", numbers)
    whole = whole.take(pc.sort_indices(keys, _ORDER))
    ids = label_ids.take(pc.subtract(whole["row"], first))
    place = whole.schema.get_field_index("label_id")
    return whole.set_column(place, SNAPSHOT_VOTES.field(place), ids)
