"""Commits the labels of a unit: one object, one PUT, and its existence is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.judging.label_parts import committed_range, part_bytes, parts_prefix
from pipeline.labeling.units import Unit, subtract
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS


def commit_part(store: Store, judge_id: str, unit: Unit, rows: Sequence[dict[str, Any]]) -> bool:
    """Writes the part of a unit unless it exists; True if this call wrote it.

    Args:
        store: the output store.
        judge_id: the judge that gave the labels.
        unit: the unit, of which ``rows`` must be every row, in order.
        rows: rows of labels v1.

    Raises:
        AssertionError: the rows are not exactly the unit's. Nothing is written.
        ContractError: a row does not fit labels v1. Nothing is written.
        StorageError: the store refuses.
    """
    return store.create(unit.part_key(judge_id), _whole_part(unit, rows))


def replace_part(store: Store, judge_id: str, unit: Unit, rows: Sequence[dict[str, Any]]) -> None:
    """Replaces a part in one PUT: readers see the old part or the new one.

    Only for retried quarantined rows; raises as :func:`commit_part` does.
    """
    store.put(unit.part_key(judge_id), _whole_part(unit, rows))


def _whole_part(unit: Unit, rows: Sequence[dict[str, Any]]) -> bytes:
    if [row["row"] for row in rows] != list(range(unit.start, unit.stop)):
        raise AssertionError(f"{unit}: got {len(rows)} rows that are not exactly its own")
    return part_bytes([table_of(list(rows), LABELS)])


def committed_ranges(store: Store, judge_id: str, shard_key: str) -> list[tuple[int, int]]:
    """The row ranges of a shard's committed parts, ascending."""
    parts = store.list(parts_prefix(judge_id, shard_key))
    return sorted(found for part in parts if (found := committed_range(part.key)))


def uncommitted(store: Store, judge_id: str, unit: Unit) -> list[Unit]:
    """What no part covers of a unit: all of it, unless another run has committed some."""
    done = committed_ranges(store, judge_id, unit.shard_key)
    left = subtract([(unit.start, unit.stop)], done)
    return [replace(unit, start=start, stop=stop) for start, stop in left]


def committed_rows(store: Store, judge_id: str, unit: Unit) -> list[dict[str, Any]]:
    """Row, status, reason, votes and run of the unit's committed rows."""
    rows: list[dict[str, Any]] = []
    for start, stop in committed_ranges(store, judge_id, unit.shard_key):
        if start < unit.stop and stop > unit.start:
            data = store.read(replace(unit, start=start, stop=stop).part_key(judge_id))
            columns = ["row", "status", "reason", "votes", "run_id"]
            rows += pq.read_table(pa.BufferReader(data), columns=columns).to_pylist()
    return [row for row in rows if unit.start <= row["row"] < unit.stop]
