"""Compacts the many small parts of a judge into the few well-sized files of a snapshot.

Every label is decided again here, from its votes, by one labeler; parts have the label of the day.
Files of groups in which nothing changed are those of an earlier snapshot, and their parts are not
read. Groups are written in threads. Each of ``THREADS`` holds one part, of the tables labels and
votes at most one row group each, and one piece of an upload: with ``publish.row_group_mb`` of 64
about 600 MB in all, whatever the size of the corpus. A file that is not complete waits on disk.
"""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.aggregation.relabel import Relabeler
from pipeline.parts.forgotten import Forgotten
from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.runtime.map_ahead import map_ahead
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.shard_groups import Group
from pipeline.snapshots.snapshot_inventory import CommittedPart, InventoryShard
from pipeline.snapshots.table_writer import TableWriter, store_file
from pipeline.store.object_store import Store
from schemas.labels import VOTE, Status
from schemas.manifest import (
    MISSING,
    OUTCOMES,
    InputShard,
    Manifest,
    ShardGroup,
    SnapshotFile,
)
from schemas.snapshots import SNAPSHOT_LABELS, SNAPSHOT_VOTES, TABLES

THREADS = 4


@dataclass(frozen=True)
class Compacted:
    """A group of a snapshot, and what its rows are.

    Attributes:
        outcomes: rows by status of each of its shards, by path.
        reused: whether its files are those of an earlier snapshot.
    """

    group: ShardGroup
    files: tuple[SnapshotFile, ...]
    outcomes: Mapping[str, Mapping[str, int]]
    reused: bool = False

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
        for file in manifest.files:
            files.setdefault(file.group, []).append(file)
        for group in manifest.groups:
            of_group = tuple(files.get(group.number, ()))
            if all(there.get(file.path) == file.bytes for file in of_group):
                found[group.source] = Compacted(
                    group, of_group, outcomes.get(group.number, {}), reused=True
                )
    return found


@dataclass(frozen=True)
class Compaction:
    """Writes the files of groups.

    Attributes:
        output: the output root, of parts and snapshots.
        judge_id: whose parts they are.
        relabeler: decides their rows.
        forgotten: pairs of which no row is shown.
        config: sizes.
        there: the sizes of objects that need not be written again, by key.
        step: called before every part with its rows, from several threads; may raise to stop.
    """

    output: Store
    judge_id: str
    relabeler: Relabeler
    forgotten: Forgotten
    config: PublishConfig
    there: Mapping[str, int]
    step: Callable[[int], None]

    def run(self, groups: Sequence[Group], known: Mapping[str, Compacted]) -> list[Compacted]:
        """The groups of a snapshot, in order; those that are known are not made again.

        Raises:
            InputError: a part is corrupt, or holds other rows than its name says.
            StorageError: the store fails.
        """
        new = [group for group in groups if group.source not in known]
        made = map_ahead(self.output.host.pool(THREADS), self._written, new, THREADS)
        return [
            known[group.source].numbered(group.number) if group.source in known else next(made)
            for group in groups
        ]

    def _written(self, group: Group) -> Compacted:
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
                for part in shard.parts:
                    self.step(part.stop - part.start)
                    rows = self._read(shard, part)
                    counts.update(rows["status"].to_pylist())
                    run_ids.update(set(pc.unique(rows["run_id"]).to_pylist()) - {None})
                    _write(rows, tables)
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

    def _read(self, shard: InventoryShard, part: CommittedPart) -> pa.Table:
        table = read_part(self.output, part.key)
        rows = pa.chunked_array([pa.array(range(part.start, part.stop), pa.int64())])
        as_named = (
            table["row"].equals(rows)
            and pc.unique(table["shard"]).to_pylist() == [shard.entry.key]
            and pc.unique(table["judge_id"]).to_pylist() == [self.judge_id]
            and set(pc.unique(table["status"]).to_pylist()) <= set(OUTCOMES) - {MISSING}
        )
        if not as_named:
            raise InputError(
                f"{self.output.path(part.key)}: expected the labels of rows {part.start} to "
                f"{part.stop - 1} of shard {shard.entry.key} by judge {self.judge_id[:16]}, got "
                "other rows; remove it, and run pairmill label again"
            )
        return self.relabeler.table(self.forgotten.redacted(table))


def _write(rows: pa.Table, tables: Mapping[str, TableWriter]) -> None:
    quarantined = pc.equal(rows["status"], Status.QUARANTINED)
    flat = rows.select(SNAPSHOT_LABELS.names).replace_schema_metadata(SNAPSHOT_LABELS.metadata)
    tables["labels"].write(flat.filter(pc.invert(quarantined)))
    tables["quarantine"].write(flat.filter(quarantined))
    tables["votes"].write(_votes(rows))


def _votes(rows: pa.Table) -> pa.Table:
    """The votes of all rows: one row each."""
    votes = rows["votes"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(votes), 0).to_pylist()
    numbers = itertools.chain.from_iterable(map(range, lengths))
    of_row = pc.list_parent_indices(votes)
    flat = pc.list_flatten(votes)
    columns = {
        name: rows[name].take(of_row)
        for name in ("label_id", "pair_id", "judge_id", "shard", "row")
    }
    columns["vote"] = pa.array(numbers, pa.int32())
    for column in VOTE:
        columns[column.name] = pc.struct_field(flat, [column.name])
    return pa.table(columns, schema=SNAPSHOT_VOTES)
