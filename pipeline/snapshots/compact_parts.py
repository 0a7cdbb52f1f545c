"""Compacts the many small parts of a judge into the few well-sized files of a snapshot.

Streamed in the order of shards and rows: memory holds a few parts, and of each table one row group
and one piece of an upload, whatever the size of the corpus.
"""

from __future__ import annotations

import collections
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.parts.part_files import read_part
from pipeline.runtime.errors import InputError
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.snapshot_inventory import CommittedPart, Inventory, InventoryShard
from pipeline.snapshots.table_files import TableFiles
from pipeline.store.object_store import Store
from schemas.labels import VOTE, Status
from schemas.manifest import MISSING, OUTCOMES, InputShard, SnapshotFile
from schemas.snapshots import SNAPSHOT_LABELS, SNAPSHOT_VOTES, TABLES

_READ_AHEAD = 6  # parts; a part is a few megabytes


@dataclass
class Compacted:
    """The files that were written, and what their rows are."""

    files: tuple[SnapshotFile, ...] = ()
    shards: tuple[InputShard, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    policy_ids: set[str] = field(default_factory=set)
    run_ids: set[str] = field(default_factory=set)


def compact(
    inventory: Inventory,
    output: Store,
    folder: str,
    config: PublishConfig,
    step: Callable[[int], None],
) -> Compacted:
    """Writes the files of a snapshot.

    Args:
        inventory: what goes in.
        output: the output root, of parts and snapshots.
        folder: the snapshot's folder.
        config: sizes.
        step: called before every part with the rows written so far; may raise to stop.

    Raises:
        InputError: a part is corrupt, or holds other rows than its name says.
        StorageError: the store fails.
    """
    sizes = round(config.file_mb * 2**20), round(config.row_group_mb * 2**20)
    result = Compacted()
    of_shards: dict[str, Counter[str]] = collections.defaultdict(Counter)
    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(TableFiles(output, folder, name, *sizes)) for name in TABLES
        }
        for shard, rows in _read_ahead(inventory, output):
            step(sum(result.counts.values()))
            found = pc.value_counts(rows["status"]).to_pylist()
            counts = Counter({str(each["values"]): int(each["counts"]) for each in found})
            of_shards[shard.key] += counts
            result.counts += counts
            result.policy_ids |= set(pc.unique(rows["policy_id"]).to_pylist()) - {None}
            result.run_ids |= set(pc.unique(rows["run_id"]).to_pylist()) - {None}
            _write(rows, tables)
        written = [tables[name].finish() for name in TABLES]
    result.files = tuple(itertools.chain.from_iterable(written))
    result.shards = tuple(_input_shard(s, of_shards[s.key]) for s in inventory.shards)
    missing = sum(shard.counts[MISSING] for shard in result.shards)
    result.counts += Counter({MISSING: missing})
    return result


def _write(rows: pa.Table, tables: dict[str, TableFiles]) -> None:
    quarantined = pc.equal(rows["status"], Status.QUARANTINED)
    flat = rows.select(SNAPSHOT_LABELS.names).replace_schema_metadata(SNAPSHOT_LABELS.metadata)
    tables["labels"].write(flat.filter(pc.invert(quarantined)))
    tables["quarantine"].write(flat.filter(quarantined))
    tables["votes"].write(_votes(rows))


def _votes(rows: pa.Table) -> pa.Table:
    """The votes of all rows: one row each."""
    votes = rows["votes"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(votes), 0).to_pylist()
    numbers = itertools.chain.from_iterable(range(length) for length in lengths)
    of_row = pc.list_parent_indices(votes)
    flat = pc.list_flatten(votes)
    columns: dict[str, Any] = {
        name: rows[name].take(of_row) for name in ("label_id", "pair_id", "shard", "row")
    }
    columns["vote"] = pa.array(numbers, pa.int32())
    for column in VOTE:
        columns[column.name] = pc.struct_field(flat, [column.name])
    return pa.table(columns, schema=SNAPSHOT_VOTES)


def _read_ahead(inventory: Inventory, output: Store) -> Iterator[tuple[InventoryShard, pa.Table]]:
    """The rows of every part, in order; threads read the next parts meanwhile."""
    todo = ((shard, part) for shard in inventory.shards for part in shard.parts)
    ahead: collections.deque[tuple[InventoryShard, Future[pa.Table]]] = collections.deque()
    pool = output.host.pool(_READ_AHEAD)
    try:
        while True:
            for shard, part in itertools.islice(todo, _READ_AHEAD - len(ahead)):
                ahead.append((shard, pool.submit(_read, output, shard, part, inventory.judge_id)))
            if not ahead:
                return
            shard, rows = ahead.popleft()
            yield shard, rows.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(output: Store, shard: InventoryShard, part: CommittedPart, judge_id: str) -> pa.Table:
    table = read_part(output, part.key)
    rows = pa.chunked_array([pa.array(range(part.start, part.stop), pa.int64())])
    as_named = (
        table["row"].equals(rows)
        and pc.unique(table["shard"]).to_pylist() == [shard.entry.key]
        and pc.unique(table["judge_id"]).to_pylist() == [judge_id]
        and set(pc.unique(table["status"]).to_pylist()) <= set(OUTCOMES) - {MISSING}
    )
    if not as_named:
        raise InputError(
            f"{output.path(part.key)}: expected the labels of rows {part.start} to "
            f"{part.stop - 1} of shard {shard.entry.key} by judge {judge_id[:16]}, got other rows; "
            "remove it, and run pairmill label again"
        )
    return table


def _input_shard(shard: InventoryShard, counts: Counter[str]) -> InputShard:
    missing = sum(stop - start for start, stop in shard.missing)
    of_all = {outcome: counts[outcome] for outcome in OUTCOMES} | {MISSING: missing}
    return InputShard(
        path=shard.entry.key,
        bytes=shard.entry.size,
        content=shard.content,
        shard_key=shard.key,
        rows=shard.rows,
        counts=of_all,
        defect=shard.defect,
    )
