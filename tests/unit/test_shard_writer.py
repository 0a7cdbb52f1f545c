"""Shards appear whole or not at all, whatever ends their writer."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.pairs.shard_writer import ShardConfig, ShardWriter
from pipeline.store import local_files
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS_V2

SMALL = ShardConfig(group_rows=2)


def rows(count: int) -> pa.Table:
    empty = dict.fromkeys(PAIRS_V2.names)
    return pa.Table.from_pylist([{**empty, "pair_id": str(n)} for n in range(count)], PAIRS_V2)


def test_of_a_shard_that_is_not_whole_nothing_stays(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ShardWriter(Store(str(tmp_path)), "s", SMALL) as writer:
            writer.add(rows(5))
            assert len(local_files.unfinished(tmp_path)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    dead, alive, others = (
        tmp_path / f".{name}.parquet.{12 * 'a'}.tmp" for name in ("s-00003", "s-00004", "t-00003")
    )
    for path in (dead, alive, others):
        path.touch()
    for path in (dead, others):
        os.utime(path, (0, 0))
    with ShardWriter(Store(str(tmp_path)), "s", SMALL) as writer:
        writer.add(rows(1))
    assert set(tmp_path.iterdir()) == {alive, others, tmp_path / "s-00000.parquet"}
