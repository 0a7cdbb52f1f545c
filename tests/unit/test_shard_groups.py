"""Groups of shards: where a shard goes, and how much is written again for what changed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.snapshots.shard_groups import Group, groups_of, number_of_groups
from pipeline.snapshots.snapshot_inventory import CommittedPart, InventoryShard
from pipeline.store.object_store import Entry


def shard(number: int, content: str = "etag") -> InventoryShard:
    path = f"shard-{number}.parquet"
    part = CommittedPart(f"parts/{number}", 0, 9, content)
    return InventoryShard(Entry(path, 1, "etag"), "etag", f"key-{number}", 9, (part,))


def by_path(groups: list[Group]) -> dict[str, int]:
    return {each.entry.key: group.number for group in groups for each in group.shards}


@given(st.integers(1, 100_000), st.none() | st.sampled_from([1, 512, 1024, 2048, 4096, 65_536]))
def test_there_are_about_enough_groups(shards: int, before: int | None) -> None:
    count = number_of_groups(shards, before)
    assert count.bit_count() == 1
    assert count >= 512
    assert shards / count <= 4
    assert count <= max(1024, shards)  # at most twice as many as are needed


def test_a_size_that_varies_around_a_limit_keeps_its_groups() -> None:
    found, count = [], None
    for shards in (2_048, 2_049, 2_048, 2_049, 2_000, 1_000):
        count = number_of_groups(shards, count)
        found.append(count)
    assert found == [512, 1024, 1024, 1024, 1024, 1024]
    assert number_of_groups(1_000, 2048) == 512


@given(st.sets(st.integers(0, 5_000), min_size=1, max_size=60), st.integers(0, 5_000))
def test_shards_stay_where_they_are_whatever_comes_and_goes(numbers: set[int], new: int) -> None:
    before = by_path(groups_of([shard(n) for n in sorted(numbers)], 512, "by"))
    after = by_path(groups_of([shard(n) for n in sorted(numbers | {new})], 512, "by"))
    assert {path: after[path] for path in before} == before
    doubled = by_path(groups_of([shard(n) for n in sorted(numbers)], 1024, "by"))
    assert {path: number // 2 for path, number in doubled.items()} == before


def test_a_group_s_source_is_of_its_shards_and_parts_and_of_what_makes_it() -> None:
    shards = [shard(n) for n in range(2_000)]
    before = {g.number: g.source for g in groups_of(shards, 512, "by")}
    shards[7] = shard(7, "another")
    changed = {g.number: g.source for g in groups_of(shards, 512, "by")}
    own = by_path(groups_of(shards, 512, "by"))["shard-7.parquet"]
    assert {number for number in before if before[number] != changed[number]} == {own}
    assert not set(before.values()) & {g.source for g in groups_of(shards, 512, "another")}


def test_of_10_in_1000_shards_about_3_percent_are_written() -> None:
    """A changed shard is with 1 + 999 / 512 shards in its group, on average."""
    shards = [shard(n) for n in range(1_000)]
    place = by_path(groups_of(shards, number_of_groups(1_000, None), "by"))
    sizes = Counter(place.values())
    written = []
    for first in range(100):
        changed = {place[f"shard-{first + 100 * n}.parquet"] for n in range(10)}
        written.append(sum(sizes[number] for number in changed) / 1_000)
    assert 0.025 < sum(written) / len(written) < 0.034
    assert max(written) <= 0.05
