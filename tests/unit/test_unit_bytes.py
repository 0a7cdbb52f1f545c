"""What a unit holds in memory is bounded, whatever the file is like."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.pairs import batch_rows
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import GroupReader
from pipeline.parts.units import Unit
from schemas.pairs import PAIRS
from tests.memory_store import Memory
from tests.memory_store import small_pair as small
from tests.shards import pair, shard_bytes

KEY = "shard.parquet"
PLENTY = 2**30


def pieces(data: bytes, ranges: list[tuple[int, int]], most: int) -> list[tuple[Unit, pa.Array]]:
    """The units that come, with their pairs, when a unit may hold ``most`` bytes."""
    units = tuple(Unit(KEY, "k", *bounds) for bounds in ranges)
    task = ShardTask(KEY, len(data), units)
    tables = read_units(Memory(data), task, PairMapping(), most)
    return [(unit_of(table)[0], table["pairs"].combine_chunks().flatten()) for table in tables]


def sharing(media: bytes, rows: int, *, group_rows: int = 2**20) -> bytes:
    """A shard whose rows share one picture, stored once a row group."""
    shared = [small(n, images=[{"bytes": media, "path": None}]) for n in range(rows)]
    return shard_bytes(shared, group_rows, compression="none", dictionary_pagesize_limit=2**30)


def test_a_unit_ends_early_where_decoded_rows_outgrow_it() -> None:
    data = sharing(b"x" * 100_000, 300, group_rows=100)
    assert len(data) < 500_000
    planned = [(5, 120), (120, 121), (130, 290)]
    got = pieces(data, planned, 2**20)
    rows = [row for unit, _ in got for row in range(unit.start, unit.stop)]
    assert rows == [row for bounds in planned for row in range(*bounds)]
    assert all(
        start <= unit.start < unit.stop <= stop
        for unit, _ in got
        for start, stop in planned
        if start <= unit.start < stop
    )
    for unit, pairs in got:
        assert pairs.field("pair_id").to_pylist() == [
            f"pair-{n}" for n in range(unit.start, unit.stop)
        ]
        assert pairs.nbytes <= 2**20 * 5 // 4
    assert len(got) <= 28  # full ones: 13 rows fit


def test_one_row_is_the_least_of_a_unit() -> None:
    got = pieces(sharing(b"x" * 1000, 5), [(0, 3), (3, 5)], 1)
    assert [(unit.start, unit.stop) for unit, _ in got] == [(n, n + 1) for n in range(5)]


def test_a_unit_just_over_its_bytes_stays_whole() -> None:
    data = shard_bytes([pair(n) for n in range(20)])
    ((_, pairs),) = pieces(data, [(0, 20)], PLENTY)
    assert len(pieces(data, [(0, 20)], int(pairs.nbytes / 1.2))) == 1


@pytest.mark.long  # writes and reads 2 GiB
def test_rows_beyond_2_gib_that_share_one_picture() -> None:
    rows = pa.Table.from_pylist([small(n) for n in range(450)], PAIRS).drop_columns(["images"])
    picture = pa.array([b"x" * 5 * 2**20])
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 450, pa.int32()), picture)
    buffer = pa.BufferOutputStream()
    pq.write_table(rows.append_column("picture", shared), buffer, store_schema=False)
    data = buffer.getvalue().to_pybytes()
    task = ShardTask(KEY, len(data), (Unit(KEY, "k", 0, 450),))
    mapping = MappingConfig(layout="pairs", map={"images": "picture"}).mapping()
    seen, most = 0, 64 * 2**20
    for table in read_units(Memory(data), task, mapping, most):
        unit, pairs = unit_of(table)
        assert unit.start == seen
        assert len(pairs) == unit.rows <= 16
        assert table.nbytes <= most * 5 // 4
        assert len(pairs[0]["images"][0]["bytes"]) == 5 * 2**20
        assert pairs[0]["defect"] is None
        seen = unit.stop
    assert seen == 450


@pytest.mark.parametrize(
    ("shared", "size", "count", "expected"),
    [
        (True, 2**19, 20, {7, 8}),
        (True, 100_000, 40, {40}),
        (False, 100_000, 40, {32}),
        (False, 2**19, 20, {7, 8}),
    ],
)
def test_few_rows_are_decoded_at_a_time_where_they_are_large(
    shared: bool, size: int, count: int, expected: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_rows, "_BATCH_BYTES", 2**22)
    rows = [small(n, images=[{"bytes": b"x" * size, "path": None}]) for n in range(count)]
    data = shard_bytes(
        rows,
        64,
        compression="none",
        use_dictionary=shared,
        dictionary_pagesize_limit=2**30,
    )
    reader = GroupReader(Memory(data), KEY, len(data), PairMapping())
    assert max(batch.num_rows for batch in reader.read(0)) in expected
