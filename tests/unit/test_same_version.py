"""A shard that is rewritten while it is read is not labelled as what was planned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.labeling.planning.planned_version import of_planned_version
from pipeline.labeling.read_pairs import ShardTask, read_units, unit_of
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.shards import of_one_version, shard_key
from pipeline.parts.units import Unit
from pipeline.runtime.errors import InputError, ShardChangedError
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store
from tests.shards import pair, shard_bytes

NAME = "a.parquet"
ROWS = [pair(n, images=None) for n in range(8)]
OTHER = [pair(n, images=None, prompt=f"What is on picture {n}?") for n in range(8)]


def planned(store: Store) -> ShardTask:
    """The shard as it is now, in two units."""
    (entry,) = store.list(NAME)
    key = shard_key(NAME, entry.size, store.content_key(entry))
    return ShardTask(NAME, entry.size, (Unit(NAME, key, 0, 4), Unit(NAME, key, 4, 8)))


def test_a_shard_of_equal_size_with_other_rows_is_not_read_as_the_planned_one(
    tmp_path: Path,
) -> None:
    store, file = Store(str(tmp_path)), tmp_path / NAME
    file.write_bytes(shard_bytes(ROWS, 4))
    task = planned(store)

    contents = ContentKeys(store, Store(str(tmp_path / "out")))

    def read() -> list[int]:
        units = read_units(store, task, PairMapping(), 2**20)
        return [unit_of(row)[0].start for row in of_planned_version(store, task, units, contents)]

    assert read() == [0, 4]
    other = shard_bytes(OTHER, 4)
    assert len(other) == task.size
    file.write_bytes(other)
    with pytest.raises(ShardChangedError, match=r"a\.parquet: the shard was rewritten or removed"):
        read()
    file.unlink()
    with pytest.raises(ShardChangedError, match="rewritten or removed during the run"):
        read()


def test_units_read_before_a_shard_changed_are_kept(tmp_path: Path) -> None:
    store, file = Store(str(tmp_path)), tmp_path / NAME
    file.write_bytes(shard_bytes(ROWS, 4))
    task = planned(store)
    units = of_planned_version(
        store, task, read_units(store, task, PairMapping(), 2**20), ContentKeys(store, store)
    )
    assert unit_of(next(units))[0] == task.units[0]
    scratch = tmp_path / "scratch"
    scratch.write_bytes(shard_bytes(OTHER, 4))
    os.utime(scratch, ns=(file.stat().st_mtime_ns, file.stat().st_mtime_ns))
    scratch.replace(file)  # of equal size and time
    with pytest.raises(ShardChangedError):
        next(units)


def test_a_shard_that_has_fewer_rows_by_now_does_not_end_early(tmp_path: Path) -> None:
    store, file = Store(str(tmp_path)), tmp_path / NAME
    file.write_bytes(shard_bytes(ROWS, 4))
    task = planned(store)
    contents = ContentKeys(store, store)

    def fewer() -> Iterator[pa.Table]:
        file.write_bytes(shard_bytes(ROWS[:1], 4))
        yield from ()

    with pytest.raises(ShardChangedError):
        list(of_planned_version(store, task, fewer(), contents))


def test_what_is_read_of_a_shard_that_was_rewritten_meanwhile_is_not_taken(tmp_path: Path) -> None:
    store, file = Store(str(tmp_path)), tmp_path / NAME
    file.write_bytes(shard_bytes(ROWS, 4))
    (entry,) = store.list(NAME)

    def read(error: Exception | None, written: bytes | None) -> None:
        with of_one_version(store, entry):
            if written is not None:
                file.write_bytes(written)
            if error:
                raise error

    read(None, None)
    with pytest.raises(InputError, match="no such row"):
        read(InputError("no such row"), None)
    assert len(shard_bytes(OTHER, 4)) == entry.size
    for rows in (OTHER, ROWS[1:]):
        for error in (None, InputError("no such row")):
            with pytest.raises(ShardChangedError, match=r"a\.parquet: the shard was rewritten"):
                read(error, shard_bytes(rows, 4))
