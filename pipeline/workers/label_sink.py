"""Commits the labels of a unit: one object, one PUT, and its existence is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.storage import Store
from pipeline.core.units import Unit
from schemas.contract import table_of
from schemas.labels import LABELS


def commit_part(store: Store, judge_id: str, unit: Unit, rows: Sequence[dict[str, Any]]) -> bool:
    """Writes the part of a unit unless it is there; True if this call wrote it.

    Args:
        store: the output store.
        judge_id: the judge whose labels these are.
        unit: the unit, of which ``rows`` must be every row, in order.
        rows: rows of labels v1.

    Raises:
        AssertionError: the rows are not exactly the unit's. Nothing is written.
        ContractError: a row does not fit labels v1. Nothing is written.
        StorageError: the store refuses.
    """
    if [row["row"] for row in rows] != list(range(unit.start, unit.stop)):
        raise AssertionError(f"{unit}: got {len(rows)} rows that are not exactly its own")
    buffer = pa.BufferOutputStream()
    table = table_of(list(rows), LABELS)
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return store.create(unit.part_key(judge_id), buffer.getvalue().to_pybytes())


def part_outcomes(store: Store, judge_id: str, unit: Unit) -> list[dict[str, Any]]:
    """The rows of a committed part, with only ``status``, ``reason`` and ``votes``."""
    data = store.read(unit.part_key(judge_id))
    table = pq.read_table(pa.BufferReader(data), columns=["status", "reason", "votes"])
    return list(table.to_pylist())
