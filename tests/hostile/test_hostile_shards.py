"""Small shards that ask for much: each is named, or read within time and memory.

The larger ones of the same kinds take minutes (``-m long``).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.lab.bench.process_watch import PeakMemory
from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.pairs.input_config import READ_SECONDS
from pipeline.pairs.isolated_reading import misfit_of, outline_of
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.parts.units import Unit
from pipeline.runtime.disposable import Disposables
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from schemas.labels import Reason
from schemas.pairs import PAIRS
from tests.judging import judge_rows, scripted
from tests.shards import pair

UNIT_BYTES = 2**26
READERS = ["pipeline.pairs.isolated_reading"]


def base(rows: int = 4) -> pa.Table:
    return pa.Table.from_pylist([pair(number, images=None) for number in range(rows)], PAIRS)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def nested(depth: int) -> pa.Table:
    """A column of lists of structs of lists."""
    kind: pa.DataType = pa.int8()
    for level in range(depth):
        kind = pa.list_(kind) if level % 2 else pa.struct([("f", kind)])
    return base().append_column("deep", pa.nulls(4, kind))


def wide(columns: int) -> pa.Table:
    table, nothing = base(), pa.nulls(4, pa.int8())
    more = {f"c{number}": nothing for number in range(columns)}
    return pa.table(dict(zip(table.column_names, table.columns, strict=True)) | more)


def shared(rows: int, size: int) -> pa.Table:
    """Rows of one prompt, which a dictionary page holds once."""
    held = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))
    return with_column(base(rows), "prompt", held)


def long_text(size: int) -> pa.Table:
    return with_column(base(), "prompt", pa.array(["q", "x" * size, "q", "q"]))


def many_nulls(count: int) -> pa.Table:
    """A row with so many pictures, none of which is there."""
    kind = PAIRS.field("images").type.value_type
    offsets = pa.array([0, 0, count, count, count], pa.int32())
    return with_column(base(), "images", pa.ListArray.from_arrays(offsets, pa.nulls(count, kind)))


def stored(folder: Path, table: pa.Table) -> tuple[Store, ShardTask]:
    pq.write_table(table, folder / "s.parquet", compression="zstd")
    store = Store(str(folder))
    (entry,) = store.list()
    assert entry.size < 2**22 or table.num_columns > 1_000
    return store, ShardTask(entry.key, entry.size, (Unit(entry.key, "k", 0, table.num_rows),))


@pytest.mark.parametrize("depth", [400, 1_000], ids=["for us", "for Arrow"])
def test_what_is_nested_too_deeply_is_a_named_shard(tmp_path: Path, depth: int) -> None:
    store, _ = stored(tmp_path, nested(depth))
    with pytest.raises(pa.ArrowInvalid, match="too deeply nested"):
        outline_of(store, next(store.list()), READ_SECONDS)


def test_more_rows_than_a_file_can_hold_are_a_named_shard(tmp_path: Path) -> None:
    """Its units alone would fill the memory of whoever plans them, and never come to an end."""
    pq.write_table(
        pa.table({"prompt": pa.nulls(10_000_000)}),
        tmp_path / "s.parquet",
        **{"row_group_size": 10_000_000, "max_rows_per_page": 10_000_000, "data_page_size": 2**30},
    )
    store = Store(str(tmp_path))
    with pytest.raises(pa.ArrowInvalid, match=r"10,000,000 rows cannot be in \d\d\d bytes"):
        outline_of(store, next(store.list()), READ_SECONDS)


def test_many_equal_rows_are_a_shard_as_any(tmp_path: Path) -> None:
    """Their ids may be made of the row's number, and one text of all takes next to no bytes."""
    rows = 400_000
    one = pa.array(["x"]).dictionary_encode()
    held = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), one.dictionary)
    store, _ = stored(tmp_path, pa.table({"prompt": held}))
    (entry,) = store.list()
    assert entry.size < rows / 40
    assert outline_of(store, entry, READ_SECONDS).rows == rows


@pytest.mark.parametrize("values", [0, 2], ids=["none", "fewer"])
def test_rows_that_a_page_does_not_have_are_quarantined(tmp_path: Path, values: int) -> None:
    """Arrow ends such a row group early, and says nothing."""
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    buffer = io.BytesIO()
    pq.write_table(base(6), buffer, row_group_size=3, **options)
    data = bytearray(buffer.getvalue())
    footer = pq.ParquetFile(buffer).metadata.row_group(0)
    names = [footer.column(number).path_in_schema for number in range(footer.num_columns)]
    start = footer.column(names.index("prompt")).data_page_offset
    at = data.index(b"\x2c\x15\x06", start)  # a data page, and its first field: three values
    assert at < start + 20
    data[at + 2] = 2 * values
    (tmp_path / "s.parquet").write_bytes(data)
    store = Store(str(tmp_path))
    (entry,) = store.list()
    assert misfit_of(store, entry, PairMapping(), READ_SECONDS) is None
    task = ShardTask(entry.key, entry.size, (Unit(entry.key, "k", 0, 6),))
    held = [unit_of(table)[1] for table in read_units(store, task, PairMapping(), UNIT_BYTES)]
    rows = [pairs[number] for pairs in held for number in range(len(pairs))]
    assert [row["pair_id"] for row in rows] == [f"pair-{number}" for number in range(6)]
    whole = [row["defect"] is None for row in rows]
    assert whole == [number < values or number > 2 for number in range(6)]
    assert {row["defect"].partition(":")[0] for row in rows if row["defect"]} == {
        "corrupt data page"
    }


Large = Callable[[], pa.Table]
LONG = pytest.mark.long, pytest.mark.timeout(1_200)
CASES = [
    pytest.param(lambda: wide(5_000), 2**29, id="5,000 columns"),
    pytest.param(lambda: wide(100_000), 2**31, id="100,000 columns", marks=LONG),
    pytest.param(lambda: shared(80, 2**20), 2**29, id="80 MB of one value"),
    pytest.param(lambda: shared(300, 8_000_000), 2**30, id="2.4 GB of one value", marks=LONG),
    pytest.param(lambda: long_text(2**24), 2**29, id="a text of 16 MB"),
    pytest.param(lambda: long_text(300_000_000), 2**32, id="a text of 300 MB", marks=LONG),
    pytest.param(lambda: many_nulls(100_000), 2**29, id="100,000 nulls"),
    pytest.param(lambda: many_nulls(10_000_000), 2**32, id="10,000,000 nulls", marks=LONG),
]


@pytest.mark.parametrize(("make", "most"), CASES)
def test_every_row_is_read_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Large, most: int
) -> None:
    """By readers that may have no more memory, and in no more of this process's own."""
    store, task = stored(tmp_path, make())
    processes = Disposables(READERS, memory=most)
    monkeypatch.setattr(Host, "disposables", lambda host, module: processes)
    (entry,), mapping, rows = store.list(), PairMapping(), 0
    with PeakMemory() as own:
        assert misfit_of(store, entry, mapping, READ_SECONDS) is None
        for table in read_units(store, task, mapping, UNIT_BYTES):
            unit, pairs = unit_of(table)
            rows += len(pairs)
            assert [pairs[number]["defect"] for number in range(len(pairs))] == [None] * len(pairs)
            assert unit.rows == 1 or table.nbytes < 2 * UNIT_BYTES
    processes.close()
    assert rows == task.units[-1].stop
    assert own.grown_bytes is None or own.grown_bytes < most


def test_a_row_that_takes_more_memory_than_a_reader_may_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Disposables(READERS, memory=2**28)
    monkeypatch.setattr(Host, "disposables", lambda host, module: processes)
    store, task = stored(tmp_path, long_text(2**27))
    held = [unit_of(table)[1] for table in read_units(store, task, PairMapping(), UNIT_BYTES)]
    rows = [pairs[number] for pairs in held for number in range(len(pairs))]
    processes.close()
    assert [row["pair_id"] for row in rows] == [f"pair-{number}" for number in range(4)]
    assert "takes more memory than a reader may have" in rows[1]["defect"]


def test_a_text_that_cannot_fit_is_refused_before_its_tokens_are_counted() -> None:
    judge, engine = scripted()
    limit = judge.config.most_prompt_tokens * 256
    (label,) = judge_rows(judge, [pair(0, images=None, prompt="x" * (limit + 1))])
    assert (label["status"], label["reason"]) == ("quarantined", Reason.TOO_LONG)
    assert "characters, more than 256 for each of the" in label["detail"]
    assert engine.asked == []
