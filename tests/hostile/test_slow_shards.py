"""A shard that nothing reads to its end costs its own rows, after a bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.pairs import isolated_reading
from pipeline.pairs.isolated_reading import outline_of
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.parts.units import Unit
from pipeline.runtime.disposable import Disposables
from pipeline.store.host import Host
from pipeline.store.object_store import Store
from tests.hostile import hazards
from tests.shards import pair, write_shard

_ROWS = 6  # of a group


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shards are read as :mod:`tests.hostile.slow_reading` does it."""
    processes = Disposables(["tests.hostile.slow_reading"])
    monkeypatch.setattr(Host, "disposables", lambda host, module: processes)
    yield
    processes.close()


def defects_of(folder: Path, groups: int, seconds: float) -> list[str]:
    """Of each row of a shard why it cannot be judged, before the colon; empty where it can."""
    rows = [pair(number, images=None) for number in range(groups * _ROWS)]
    write_shard(folder / "s.parquet", rows, _ROWS)
    store = Store(str(folder))
    (entry,) = store.list()
    task = ShardTask(entry.key, entry.size, (Unit(entry.key, "k", 0, len(rows)),))
    found = []
    for table in read_units(store, task, PairMapping(), 2**26, seconds):
        _, pairs = unit_of(table)
        found += [pairs[number] for number in range(len(pairs))]
    for row, read in zip(rows, found, strict=True):
        assert read["pair_id"] in (row["pair_id"], None)
    return [(row["defect"] or "").partition(":")[0] for row in found]


@pytest.mark.usefixtures("slow")
def test_a_slow_page_costs_the_rows_behind_it_and_three_of_them_the_rest_of_the_shard(
    tmp_path: Path,
) -> None:
    good, corrupt, unread = "", "corrupt data page", "not read"
    behind = [good] * 2 + [corrupt] * 4
    # Each slow group is read as a whole and then row by row, as long as three reads were not slow.
    assert defects_of(tmp_path, 4, 2) == [*behind, *[good] * 6, *behind, *[unread] * 6]


def test_a_slow_footer_is_an_unreadable_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Disposables(["pipeline.pairs.isolated_reading", "tests.hostile.hazards"])
    monkeypatch.setattr(Host, "disposables", lambda host, module: processes)
    monkeypatch.setattr(isolated_reading, "read_outline", hazards.slow_outline)
    write_shard(tmp_path / "s.parquet", [pair(0, images=None)])
    store = Store(str(tmp_path))
    with pytest.raises(pa.ArrowInvalid, match=r"takes too long to open: not done within 0.2 s"):
        outline_of(store, next(store.list()), 0.2)
    processes.close()
