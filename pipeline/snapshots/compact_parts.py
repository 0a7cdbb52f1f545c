"""Compacts the many small parts of judges into the few well-sized files of a snapshot.

Every label is decided again here, from its votes, by one labeler; parts have the label of the day.
Files of groups in which nothing changed are those of an earlier snapshot, and their parts are not
read. Ranges of groups, which share the files of the browse index, are written in threads. Each of
``THREADS`` holds one part, of the tables labels and votes at most one row group each, and one piece
of an upload: with ``publish.row_group_mb`` of 64 about 600 MB in all, whatever the size of the
corpus. A file that is not complete waits on disk.
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.runtime.map_ahead import map_ahead
from pipeline.snapshots.browse_index import IndexRange, IndexWriter, range_of
from pipeline.snapshots.judged_rows import JudgedRows, Rows
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.shard_groups import Group
from pipeline.snapshots.snapshot_inventory import InventoryShard
from pipeline.snapshots.table_writer import TableWriter, store_file
from pipeline.store.object_store import Store
from schemas.labels import Status
from schemas.manifest import (
    MISSING,
    OUTCOMES,
    InputShard,
    Manifest,
    ShardGroup,
    SnapshotFile,
)
from schemas.snapshots import TABLES

THREADS = 4


@dataclass(frozen=True)
class Compacted:
    """A group of a snapshot, and what its rows are.

    Attributes:
        outcomes: rows by status of each of its shards, by path.
        reused: whether its files are those of an earlier snapshot.
        indexed: where that snapshot's index has its rows, if it does.
    """

    group: ShardGroup
    files: tuple[SnapshotFile, ...]
    outcomes: Mapping[str, Mapping[str, int]]
    reused: bool = False
    indexed: IndexRange | None = None

    def numbered(self, number: int) -> Compacted:
        """The same group under another number, as where there are more groups than before."""
        files = tuple(replace(file, group=number) for file in self.files)
        return replace(self, group=replace(self.group, number=number), files=files)

    def input_shard(self, shard: InventoryShard) -> InputShard:
        """One of its shards as a manifest has it."""
        counts = self.outcomes.get(shard.entry.key, {})
        missing = sum(stop - start for start, stop in shard.missing)
        return InputShard(
            path=shard.entry.key,
            bytes=shard.entry.size,
            content=shard.content,
            shard_key=shard.key,
            rows=shard.rows,
            counts={each: counts.get(each, 0) for each in OUTCOMES} | {MISSING: missing},
            defect=shard.defect,
            group=self.group.number,
        )


def reusable(manifests: Iterable[Manifest], there: Mapping[str, int]) -> dict[str, Compacted]:
    """The groups of earlier snapshots whose files are all there, by their source.

    Args:
        manifests: of the earlier snapshots.
        there: the sizes of objects by key.
    """
    found: dict[str, Compacted] = {}
    for manifest in manifests:
        outcomes: dict[int, dict[str, Mapping[str, int]]] = {}
        for shard in manifest.shards:
            outcomes.setdefault(shard.group, {})[shard.path] = shard.counts
        files: dict[int, list[SnapshotFile]] = {}
        for file in itertools.chain.from_iterable(map(manifest.files_of, TABLES)):
            files.setdefault(file.group, []).append(file)
        ranges = IndexRange.all_of(manifest)

        def whole(files: Iterable[SnapshotFile]) -> bool:
            return all(there.get(file.path) == file.bytes for file in files)

        for group in manifest.groups:
            of_group = tuple(files.get(group.number, ()))
            indexed = ranges.get(range_of(group.number))
            if whole(of_group):
                found[group.source] = Compacted(
                    group,
                    of_group,
                    outcomes.get(group.number, {}),
                    reused=True,
                    indexed=indexed if indexed and whole(indexed.files) else None,
                )
    return found


@dataclass(frozen=True)
class CompactedRange:
    """Neighbouring groups of a snapshot, and the files of the index over their rows."""

    groups: Sequence[Compacted]
    index: Sequence[SnapshotFile]


@dataclass(frozen=True)
class Compaction:
    """Writes the files of groups.

    Attributes:
        output: the output root, of parts and snapshots.
        rows: reads and decides those of a shard.
        config: sizes.
        there: the sizes of objects that need not be written again, by key.
        step: called before every part with its rows, from several threads; may raise to stop.
    """

    output: Store
    rows: JudgedRows
    config: PublishConfig
    there: Mapping[str, int]
    step: Callable[[int], None]

    def run(self, groups: Sequence[Group], known: Mapping[str, Compacted]) -> list[CompactedRange]:
        """The groups of a snapshot, in order; those that are known are not made again.

        Raises:
            InputError: a part is corrupt, or holds other rows than its name says.
            StorageError: the store fails.
        """
        ranges = [list(of) for _, of in itertools.groupby(groups, lambda g: range_of(g.number))]
        found = [_unchanged(of, known) for of in ranges]
        new = [of for of, there in zip(ranges, found, strict=True) if there is None]
        pool = self.output.host.pool(THREADS)
        made = map_ahead(pool, lambda of: self._range(of, known), new, THREADS)
        return [there or next(made) for there in found]

    def _range(self, groups: Sequence[Group], known: Mapping[str, Compacted]) -> CompactedRange:
        """Writes the files of those groups that are not known, and of the index over all."""
        made = []
        with IndexWriter(self.output, groups[0].number, self.there) as index:
            for group in groups:
                if (found := known.get(group.source)) is None:
                    made.append(self._written(group, index))
                    continue
                self.step(0)
                if found.indexed:
                    index.copy(found.indexed, found.outcomes)
                else:
                    index.make(found.files, found.outcomes)
                made.append(found.numbered(group.number))
            return CompactedRange(made, index.finish())

    def _written(self, group: Group, index: IndexWriter) -> Compacted:
        """Writes the files of one group."""
        sizes = round(self.config.file_mb * 2**20), round(self.config.row_group_mb * 2**20)
        outcomes: dict[str, Counter[str]] = {}
        run_ids: set[str] = set()
        with ExitStack() as stack:
            tables = {
                name: stack.enter_context(
                    TableWriter(self.output, name, group.number, *sizes, self.there)
                )
                for name in TABLES
            }
            for shard in group.shards:
                counts = outcomes[shard.entry.key] = Counter()
                for rows in self.rows.of(shard, self.step):
                    counts.update(rows.labels["status"].to_pylist())
                    run_ids |= rows.run_ids
                    _write(rows, tables)
                    index.write(rows.labels)
                for table in tables.values():
                    table.end_shard()
            files = [tables[name].finish() for name in TABLES]
        made = ShardGroup(group.number, group.source, tuple(sorted(run_ids)))
        return Compacted(made, tuple(itertools.chain.from_iterable(files)), outcomes)

    def without_rows(self, groups: Sequence[Compacted]) -> Iterator[SnapshotFile]:
        """A file without rows of each table that has none, so that readers find its columns."""
        held = {file.table for made in groups for file in made.files}
        for table in TABLES:
            if table not in held:
                buffer = io.BytesIO()
                pq.write_table(TABLES[table].empty_table(), buffer)
                number = groups[0].group.number
                yield store_file(self.output, buffer, table, number, 0, self.there)


def _unchanged(groups: Sequence[Group], known: Mapping[str, Compacted]) -> CompactedRange | None:
    """The range of an earlier snapshot that has exactly these groups and an index of them."""
    made = [known[group.source] for group in groups if group.source in known]
    sources = tuple(group.source for group in groups)
    if len(made) < len(groups) or (indexed := made[0].indexed) is None:
        return None
    if indexed.sources != sources or any(each.indexed is None for each in made):
        return None
    numbered = [each.numbered(g.number) for each, g in zip(made, groups, strict=True)]
    return CompactedRange(numbered, [replace(f, group=groups[0].number) for f in indexed.files])


def _write(rows: Rows, tables: Mapping[str, TableWriter]) -> None:
    quarantined = pc.equal(rows.labels["status"], Status.QUARANTINED)
    tables["labels"].write(rows.labels.filter(pc.invert(quarantined)))
    tables["quarantine"].write(rows.labels.filter(quarantined))
    tables["votes"].write(rows.votes)
