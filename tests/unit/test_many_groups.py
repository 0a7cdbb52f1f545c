"""What is fetched of a shard of very many row groups."""

from __future__ import annotations

import pytest

from pipeline.pairs.pair_mapping import PairMapping
from pipeline.pairs.row_groups import GroupReader
from tests.memory_store import Memory, small_pair
from tests.shards import shard_bytes

GROUPS = 300


class CountedBytes(Memory):
    """Counts the bytes that are read, too."""

    bytes_read = 0

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        self.bytes_read += stop - start
        return super().read_range(key, start, stop)


@pytest.fixture(scope="module")
def shard() -> bytes:
    """Three hundred row groups of one row each."""
    return shard_bytes([small_pair(number) for number in range(GROUPS)], 1)


def opened(data: bytes) -> tuple[CountedBytes, GroupReader]:
    store = CountedBytes(data)
    return store, GroupReader(store, "shard.parquet", len(data), PairMapping())


def test_one_row_costs_the_footer_once_and_its_own_columns(shard: bytes) -> None:
    store, reader = opened(shard)
    footer = store.reads
    assert reader.count == GROUPS
    (pairs,) = reader.read(150)
    assert pairs["pair_id"].to_pylist() == ["pair-150"]
    assert reader.read_ids(151) == ["pair-151"]
    assert footer <= 3
    assert store.reads - footer <= 100  # some for each of its columns, none for the other groups
    assert store.bytes_read < len(shard)  # a second footer is more: most of this file is footer


def test_ids_and_rows_of_many_groups_cost_one_footer(shard: bytes) -> None:
    store, reader = opened(shard)
    groups = range(100)
    ids = [row for group in groups for row in reader.read_ids(group)]
    rows = [i for g in groups for t in reader.read(g) for i in t["pair_id"].to_pylist()]
    assert ids == rows == [f"pair-{number}" for number in groups]
    assert store.bytes_read < len(shard)  # the footer once, and a third of the rows
