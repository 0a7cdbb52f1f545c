"""Plans one shard: reads its footer, divides its rows into units, subtracts committed ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.labeling.open_rows import OpenRows
from pipeline.labeling.planning.committed_shards import THREADS, CommittedShard
from pipeline.labeling.planning.reopening import COLUMNS, Reopening, Why
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import misfit_of, outline_of
from pipeline.pairs.shard_columns import ShardColumns
from pipeline.pairs.shard_sample import stored_as_pairs
from pipeline.pairs.shards import check_unchanged, unless_changed
from pipeline.parts.part_files import read_part
from pipeline.parts.part_keys import Part
from pipeline.parts.units import RowGroup, Unit, subtract, unit_ranges
from pipeline.runtime.faults import UNREADABLE_FILE, first_line
from pipeline.store.object_store import Entry, Store


@dataclass(frozen=True)
class ShardPlan:
    """What one shard holds and still needs.

    Attributes:
        key: of this version of it.
        rows: pairs in the shard.
        again: rows among its units that are judged already and asked about again, by why; the
            other rows of those units keep their labels.
        revised: rows of those parts, in all.
        settled: keys of parts that were looked into and have no such row.
        doubled: parts that do not count, since others hold rows of theirs.
        changed: whether this judge has labels of an earlier version of it, which unchanged rows
            reuse.
        former: key of a published shard with the same content under another path, whose labels
            its rows reuse; None without one.
        defect: why the shard cannot be read at all, or None.
        misfit: whether it is readable, and no row of it fits the mapping.
        unread: columns that look as if a judge was meant to see them, and that no field reads.
    """

    entry: Entry
    key: str
    rows: int = 0
    units: tuple[Unit, ...] = ()
    again: Mapping[Why, int] = field(default_factory=dict)
    revised: int = 0
    settled: tuple[str, ...] = ()
    doubled: tuple[Part, ...] = ()
    changed: bool = False
    former: str | None = None
    defect: str | None = None
    misfit: bool = False
    unread: tuple[str, ...] = ()

    @property
    def rows_to_do(self) -> int:
        """Pairs of the units to do."""
        return sum(unit.rows for unit in self.units)


@dataclass(frozen=True)
class ShardPlanner:
    """Plans shards one by one; small enough to be sent to other processes."""

    source: Store
    output: Store
    config: InputConfig
    judge_id: str
    reopening: Reopening
    open_rows: OpenRows | None = None

    def __call__(self, shard: CommittedShard) -> ShardPlan:
        """Plans one shard.

        Raises:
            ShardChangedError: it was rewritten or removed since it was listed. Where its rows do
                not show that, those who read them find out.
            StorageError: a store fails.
        """
        entry, mapping = shard.entry, self.config.mapping()
        try:
            with unless_changed(self.source, entry):
                outline = outline_of(self.source, entry, self.config.read_seconds)
            columns = ShardColumns(entry.key, outline.schema)
            problems = mapping.check(columns.schema)
        except UNREADABLE_FILE as error:
            defect = f"corrupt footer: {first_line(error)}"
            return ShardPlan(entry, shard.key, former=shard.former, defect=defect)
        if problems:
            return self._misfit(shard, "; ".join(problems))
        groups = [RowGroup(*sizes) for sizes in outline.groups]
        ranges = unit_ranges(groups, self.config.unit_rows, self.config.unit_bytes)
        pending = {part: self._pending(shard, part) for part in shard.unsettled}
        todo = [
            *subtract(ranges, shard.parts.ranges),
            *(part.rows for part, again in pending.items() if again),
        ]
        units = sorted(Unit(entry.key, shard.key, *rows) for rows in todo)
        stored = stored_as_pairs(mapping, columns.schema)
        problem = None
        if units and not stored:
            with unless_changed(self.source, entry):
                problem = misfit_of(self.source, entry, mapping, self.config.read_seconds)
        if problem:
            return self._misfit(shard, problem)
        return ShardPlan(
            entry,
            shard.key,
            outline.rows,
            tuple(units),
            sum(pending.values(), Counter()),
            sum(part.stop - part.start for part, again in pending.items() if again),
            tuple(part.key for part, again in pending.items() if not again),
            shard.parts.doubled,
            shard.changed,
            shard.former,
            unread=tuple(mapping.unread(columns.schema)),
        )

    def _misfit(self, shard: CommittedShard, problem: str) -> ShardPlan:
        check_unchanged(self.source, shard.entry)
        return ShardPlan(shard.entry, shard.key, former=shard.former, defect=problem, misfit=True)

    def _pending(self, shard: CommittedShard, part: Part) -> Counter[Why]:
        settled = {}  # of rows that a tier before is about to decide, none is yet
        if self.open_rows is not None and part.key not in shard.awaited:
            settled = self.open_rows.settled(Unit(shard.entry.key, shard.key, *part.rows))
        return self.reopening.pending(read_part(self.output, part.key, COLUMNS), settled)


Spread = Callable[[ShardPlanner, Sequence[CommittedShard]], Iterable[ShardPlan]]


def map_threads(planner: ShardPlanner, shards: Sequence[CommittedShard]) -> Iterable[ShardPlan]:
    """Plans shards in threads of this process, in order."""
    with planner.output.host.pool(THREADS) as pool:
        yield from pool.map(planner, shards)
