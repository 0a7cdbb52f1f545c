"""The parts of many shards come from few listings of a bucket, and it is the same plan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.labeling.planning import committed_shards as committed
from pipeline.labeling.planning.committed_shards import CommittedShard, committed_shards
from pipeline.pairs.shards import shard_key
from pipeline.parts.part_keys import ShardParts, judge_parts_prefix
from pipeline.parts.units import Unit
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from tests.s3_server import BUCKET, S3Server

JUDGE, OTHER = "4" * 64, "5" * 64


class CountedListings(Store):
    """A store that counts its listings."""

    listings = 0

    def list(self, prefix: str = "", start: str = "") -> Iterator[Entry]:
        self.listings += 1
        return super().list(prefix, start)


@pytest.fixture
def output(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> CountedListings:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return CountedListings(f"s3://{BUCKET}/out/plan")


def test_many_shards_are_listed_together(
    output: CountedListings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Store(f"s3://{BUCKET}/in/plan")
    shards = [Entry(f"{number}.parquet", 9, f"etag-{number}") for number in range(40)]
    expected = []
    for number, shard in enumerate(shards):
        key = shard_key(shard.key, 9, f"etag-{number}")
        ranges = tuple((start, start + 8) for start in range(0, 8 * (number % 4), 8))
        for rows in ranges:
            output.put(Unit(shard.key, key, *rows).part_key(JUDGE), b"")
        changed = number % 5 == 0
        if changed:
            earlier = shard_key(shard.key, 9, "before")
            output.put(Unit(shard.key, earlier, 0, 9).part_key(JUDGE), b"")
        output.put(Unit(shard.key, key, 0, 3).part_key(OTHER), b"")
        keys = [Unit(shard.key, key, *rows).part_key(JUDGE) for rows in ranges]
        expected.append(CommittedShard(shard, f"etag-{number}", key, ShardParts.of(keys), changed))

    def found(keys: list[str] | None = None) -> list[CommittedShard]:
        output.listings = 0
        every = committed_shards(ContentKeys(source, output), output, JUDGE, shards, keys)
        return sorted(every, key=lambda shard: int(shard.entry.key.partition(".")[0]))

    assert (found(), output.listings) == (expected, 40)
    keys = [entry.key for entry in output.list(judge_parts_prefix(JUDGE))]
    assert (found(keys), output.listings) == (expected, 0)
    monkeypatch.setattr(committed, "_MANY_SHARDS", 2)
    assert (found(), output.listings) == (expected, len({each.key[0] for each in expected}))
