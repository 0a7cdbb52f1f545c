"""One shard's plan: its footer read, its rows cut into units, what is committed subtracted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.config import InputConfig
from pipeline.core.fingerprint import shard_key
from pipeline.core.storage import Entry, Store
from pipeline.core.units import (
    RowGroup,
    Unit,
    committed_range,
    cut_ranges,
    parts_prefix,
    subtract,
    versions_prefix,
)
from pipeline.workers.retries import Retries

_THREADS = 16


@dataclass(frozen=True)
class ShardPlan:
    """What one shard holds and still needs.

    Attributes:
        rows: pairs in the shard.
        retried: quarantined rows among its units that are tried again; the other rows of those
            units are done.
        changed: whether this judge has labels of an earlier version of it, which rows that did
            not change take over.
        defect: why the shard cannot be read at all, or None.
        problems: what stands between its columns and pairs v1.
    """

    entry: Entry
    rows: int = 0
    units: tuple[Unit, ...] = ()
    retried: int = 0
    changed: bool = False
    defect: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def rows_to_do(self) -> int:
        """Pairs of the units that are to do."""
        return sum(unit.rows for unit in self.units)


@dataclass(frozen=True)
class ShardPlanner:
    """Plans shards one by one; small enough to be sent to other processes."""

    source: Store
    output: Store
    config: InputConfig
    judge_id: str
    retries: Retries

    def __call__(self, entry: Entry) -> ShardPlan:
        """Plans one shard: reads its footer, cuts it, and subtracts what is committed."""
        try:
            footer = read_footer(self.source, entry)
            problems = self.config.columns.check(footer.schema.to_arrow_schema())
            groups = [_row_group(footer, index) for index in range(footer.num_row_groups)]
            _check_counts(footer, groups)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            defect = f"corrupt footer: {str(error).strip().splitlines()[0]}"
            return ShardPlan(entry, defect=defect)
        if problems:
            return ShardPlan(entry, problems=tuple(problems))
        ranges = cut_ranges(groups, self.config.unit_rows, self.config.unit_bytes)
        key = shard_key(entry.key, entry.size, self.source.content_key(entry))
        own, changed = self._parts(key)
        again = {part: n for part in own if (n := self.retries.pending(self.output, part))}
        bounds = [*subtract(ranges, own.values()), *(own[part] for part in again)]
        units = tuple(Unit(entry.key, key, *each) for each in sorted(bounds))
        return ShardPlan(entry, footer.num_rows, units, sum(again.values()), changed)

    def _parts(self, key: str) -> tuple[dict[str, tuple[int, int]], bool]:
        """The row ranges of a shard version's parts, and whether an earlier version has some."""
        folder = parts_prefix(self.judge_id, key) + "/"
        found = {
            part.key: rows
            for part in self.output.list(versions_prefix(self.judge_id, key))
            if (rows := committed_range(part.key))
        }
        own = {part: rows for part, rows in found.items() if part.startswith(folder)}
        return own, len(own) < len(found)


Spread = Callable[[ShardPlanner, Sequence[Entry]], Iterable[ShardPlan]]


def map_threads(planner: ShardPlanner, entries: Sequence[Entry]) -> Iterable[ShardPlan]:
    """Plans shards in threads of this process, in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(planner, entries)


def read_footer(source: Store, entry: Entry) -> pq.FileMetaData:
    """A shard's footer.

    Raises:
        pa.ArrowException: it is corrupt.
        StorageError: the store fails.
    """
    file = source.open(entry.key, entry.size)
    try:
        return pq.read_metadata(pa.PythonFile(file, mode="r"))
    except OSError as error:  # Arrow reports some corruption as OSError
        if file.failure is not None:
            raise file.failure from error
        raise pa.ArrowInvalid(str(error)) from error


def _row_group(footer: pq.FileMetaData, index: int) -> RowGroup:
    # Not the columns' own sizes: on some damaged footers pyarrow's column metadata does not raise
    # but ends the process.
    group = footer.row_group(index)
    return RowGroup(group.num_rows, group.total_byte_size)


def _check_counts(footer: pq.FileMetaData, groups: Sequence[RowGroup]) -> None:
    rows = [group.rows for group in groups]
    if sum(rows) != footer.num_rows or min(rows, default=0) < 0:
        raise pa.ArrowInvalid(f"{footer.num_rows} rows, but row groups of {rows[:8]}")
