"""Reading a shard: every row in its unit, and damage stays with the rows that it hit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.pairs.batch_rows import BATCH_ROWS
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.parts.units import Unit
from pipeline.runtime.errors import ShardChangedError, StorageError
from schemas.pairs import PAIRS
from tests.memory_store import Memory
from tests.memory_store import small_pair as small
from tests.shards import as_v1, pair, response, shard_bytes
from tests.shards import read as in_memory

Row = dict[str, Any]
KEY = "shard.parquet"
PLENTY = 2**30  # bytes that no unit here reaches


def read(
    store: Memory, ranges: list[tuple[int, int]], columns: PairMapping | None = None
) -> dict[int, Row]:
    """Row number → row, of all units; no row may come twice."""
    units = tuple(Unit(KEY, "k", *bounds) for bounds in ranges)
    task = ShardTask(KEY, len(store.data), units)
    tables = list(read_units(store, task, columns or PairMapping(), PLENTY))
    got = [unit_of(table) for table in tables]
    assert [unit for unit, _ in got] == list(units)
    assert [len(pairs) for _, pairs in got] == [unit.rows for unit in units]
    return {unit.start + i: pairs[i] for unit, pairs in got for i in range(len(pairs))}


ROWS = [small(number) for number in range(100)]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.sets(st.integers(0, 100)),
    st.integers(0, 2**8),
)
def test_every_row_comes_in_its_unit(sizes: list[int], cuts: set[int], skip: int) -> None:
    groups, start = [], 0
    for size in sizes:
        groups.append(ROWS[start : start + size])
        start += size
    total = min(start, len(ROWS))
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, PAIRS) as writer:
        for group in groups:
            writer.write_table(pa.Table.from_pylist(group, PAIRS), row_group_size=64)
    bounds = sorted({0, total, *(cut for cut in cuts if cut < total)})
    ranges = [bound for i, bound in enumerate(pairwise(bounds)) if not skip >> (i % 9) & 1]
    rows = read(Memory(buffer.getvalue().to_pybytes()), ranges)
    assert rows == {
        row: in_memory(ROWS[row]) for start, stop in ranges for row in range(start, stop)
    }


def test_a_part_of_a_unit_is_its_rows() -> None:
    store = Memory(shard_bytes(ROWS[:10]))
    task = ShardTask(KEY, len(store.data), (Unit(KEY, "k", 2, 9),))
    (table,) = read_units(store, task, PairMapping(), PLENTY)
    _, pairs = unit_of(table)
    assert [pairs.part(1, 3)[i]["pair_id"] for i in range(2)] == ["pair-3", "pair-4"]


def defects(rows: dict[int, Row]) -> dict[int, str]:
    return {row: pair_["defect"] for row, pair_ in rows.items() if pair_["defect"]}


@pytest.mark.parametrize(
    "ranges", [[(0, 30)], [(0, 7), (7, 8), (8, 30)], [(8, 30)], [(27, 30)]], ids=str
)
def test_repeated_ids_are_defects_of_the_later_rows(ranges: list[tuple[int, int]]) -> None:
    ids: dict[int, str | None] = {9: "pair-3", 28: "pair-3", 15: "pair-14", 4: None, 20: None}
    rows = [small(n) | ({"pair_id": ids[n]} if n in ids else {}) for n in range(30)]
    repeated = "pair_id repeats that of an earlier row of the shard"
    expected = dict.fromkeys((9, 28, 15), repeated)
    expected |= dict.fromkeys((4, 20), "pair_id is null or empty")
    got = defects(read(Memory(shard_bytes(rows, 8)), ranges))
    assert got == {n: text for n, text in expected.items() if any(a <= n < b for a, b in ranges)}


def damaged(column: str, row: int, checksums: bool, text: bytes = b"") -> bytes:
    """A shard of 96 rows in groups of 48 with a byte flipped in the value of one row."""
    rows = [pair(number) for number in range(96)]
    data = bytearray(
        shard_bytes(
            rows,
            48,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=checksums,
            data_page_size=64,
            write_batch_size=1,
            max_rows_per_page=1,
        )
    )
    value = {"pair_id": f"pair-{row}".encode(), "image": rows[row]["images"][0]["bytes"]}[column]
    assert data.count(value) == 1
    data[data.find(value) + 3] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize("row", [0, 40, 60, 95])
@pytest.mark.parametrize("column", ["pair_id", "image"])
def test_a_page_with_a_wrong_checksum(column: str, row: int) -> None:
    rows = read(Memory(damaged(column, row, checksums=True)), [(0, 30), (30, 96)])
    end = 48 if row < 48 else 96
    bad = defects(rows)
    # What lies behind the page in its row group is lost. A list ends where the next row's page
    # says so: a damaged page of images takes the row before with it.
    first = row if column == "pair_id" else max(row - 1, end - 48)
    assert set(bad) == set(range(first, end))
    assert all(text.startswith("corrupt data page: ") for text in bad.values())
    for number in set(range(96)) - set(bad):
        assert rows[number] == in_memory(pair(number))
    if column == "image":  # whose ids can still be read
        assert [rows[n]["pair_id"] for n in range(96)] == [f"pair-{n}" for n in range(96)]


def test_a_pair_id_that_is_not_utf8() -> None:
    rows = read(Memory(damaged("pair_id", 40, checksums=False)), [(0, 96)])
    assert defects(rows) == {40: "text is not UTF-8 in column pair_id"}
    assert rows[40]["pair_id"] is None
    for number in set(range(96)) - {40}:
        assert rows[number] == in_memory(pair(number))


@pytest.mark.parametrize("column", ["source", "response_a", "messages", "images", "metadata"])
def test_other_text_that_is_not_utf8(column: str) -> None:
    def text(value: str) -> dict[str, Any]:
        turns = [{"role": "user", "content": value}]
        return {
            "source": value,
            "response_a": response(value),
            "messages": turns,
            "images": [{"bytes": b"x", "path": value}],
            "metadata": [{"key": "k", "value": value}],
        }

    rest = {"prompt": None} if column == "messages" else {}
    good = [pair(number) | rest | {column: text("fine")[column]} for number in range(96)]
    bad = list(good)
    for number in (3, 50):
        bad[number] = good[number] | {column: text("MARK")[column]}
    data = shard_bytes(bad, 48, compression="none", use_dictionary=False, write_statistics=False)
    assert data.count(b"MARK") == 2
    rows = read(Memory(data.replace(b"MARK", b"M\xffRK")), [(0, 40), (40, 96)])
    assert defects(rows) == dict.fromkeys((3, 50), f"text is not UTF-8 in column {column}")
    assert [rows[n]["pair_id"] for n in range(96)] == [f"pair-{n}" for n in range(96)]
    assert all(rows[n] == in_memory(good[n]) for n in set(range(96)) - {3, 50})


def test_ids_of_a_skipped_group_with_one_that_is_not_utf8() -> None:
    rows = [small(n, pair_id={0: "MARK", 9: "pair-5"}.get(n, f"pair-{n}")) for n in range(16)]
    data = shard_bytes(rows, 8, compression="none", use_dictionary=False, write_statistics=False)
    got = read(Memory(data.replace(b"MARK", b"M\xffRK")), [(8, 16)])
    assert list(defects(got)) == [9]


def test_garbage_pages_keep_the_count() -> None:
    clean = shard_bytes([pair(number) for number in range(96)], 48)
    column = pq.ParquetFile(pa.BufferReader(clean)).metadata.row_group(0).column(0)
    data = bytearray(clean)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    rows = read(Memory(bytes(data)), [(0, 96)])
    assert sorted(rows) == list(range(96))
    assert set(defects(rows)) == set(range(48))


def test_a_failing_store_is_an_error_and_no_defect() -> None:
    data = shard_bytes([pair(number) for number in range(96)], 48)
    store = Memory(data)
    read(store, [(0, 96)])
    for fail_from in range(store.reads):
        with pytest.raises(StorageError, match="the connection is lost"):
            read(Memory(data, fail_from), [(0, 96)])


def test_a_shard_overwritten_since_the_plan() -> None:
    store = Memory(shard_bytes(ROWS[:10]))
    task = ShardTask(KEY, len(store.data) - 100, (Unit(KEY, "k", 0, 10),))
    with pytest.raises(ShardChangedError, match="rewritten or removed during the run"):
        list(read_units(store, task, PairMapping(), PLENTY))


def test_foreign_columns_are_mapped() -> None:
    count = BATCH_ROWS + 5
    table = pa.table(
        {
            "id": list(range(count)),
            "query": [f"q{n}" for n in range(count)],
            "response": [[f"a{n}", f"b{n}"] for n in range(count)],
            "unused": [b"x"] * count,
        }
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, row_group_size=10)
    mapping = MappingConfig(
        map={"pair_id": "id", "messages": "query", "a": "response[0]", "b": "response[1]"}
    ).mapping()
    rows = read(Memory(buffer.getvalue().to_pybytes()), [(5, count)], mapping)
    assert [
        (row["pair_id"], row["prompt"], row["response_b"]["text"])
        for row in map(as_v1, rows.values())
    ] == [(str(n), f"q{n}", f"b{n}") for n in range(5, count)]
    assert defects(rows) == {}
