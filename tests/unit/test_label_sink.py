"""A part is exactly its unit's rows, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.parts.commit import commit_part, committed_rows
from pipeline.store.object_store import Store
from schemas.contract import ContractError
from schemas.labels import LABELS
from tests.judging import JUDGE_ID, Row, judge_rows, scripted, text_pair, unit


def labels(count: int, **change: Any) -> list[Row]:
    rows = judge_rows(scripted()[0], [text_pair(n) for n in range(count)], start=2)
    return [row | change for row in rows]


def test_a_part_keeps_to_the_contract_and_reads_back(tmp_path: Path) -> None:
    store, rows = Store(str(tmp_path)), labels(3)
    assert commit_part(store, JUDGE_ID, unit(2, 5), rows)
    (entry,) = store.list()
    assert entry.key == unit(2, 5).part_key(JUDGE_ID)
    table = pq.read_table(pa.BufferReader(store.read(entry.key)))
    assert table.schema.equals(LABELS)
    assert table.schema.metadata == LABELS.metadata
    assert table.to_pylist() == [row | {"part_revision": 1} for row in rows]
    outcomes = committed_rows(store, JUDGE_ID, unit(2, 5))
    columns = ("row", "status", "reason", "votes", "run_id", "decided_by")
    assert outcomes == [{k: row[k] for k in columns} for row in rows]


def test_the_first_commit_stays(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert commit_part(store, JUDGE_ID, unit(2, 5), labels(3, run_id="first"))
    before = store.read(unit(2, 5).part_key(JUDGE_ID))
    assert not commit_part(store, JUDGE_ID, unit(2, 5), labels(3, run_id="second"))
    assert store.read(unit(2, 5).part_key(JUDGE_ID)) == before


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 2, 2], [0, 2, 1], [1, 2, 3], []], ids=str)
def test_rows_that_are_not_the_units_are_not_written(tmp_path: Path, order: list[int]) -> None:
    store, rows = Store(str(tmp_path)), labels(4)
    with pytest.raises(AssertionError, match="not exactly its own"):
        commit_part(store, JUDGE_ID, unit(2, 5), [rows[i] for i in order])
    assert list(store.list()) == []


@pytest.mark.parametrize("change", [{"extra": 1}, {"preference": 1}, {"margin": "wide"}])
def test_rows_that_break_the_contract_are_not_written(tmp_path: Path, change: Row) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(ContractError):
        commit_part(store, JUDGE_ID, unit(2, 5), labels(3, **change))
    assert list(store.list()) == []
