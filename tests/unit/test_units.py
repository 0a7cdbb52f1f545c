"""Units cover every row exactly once, whatever the row groups and whatever was done before."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.parts.part_keys import Part, ShardParts, versions_prefix
from pipeline.parts.units import RowGroup, Unit, subtract, unit_ranges

GROUPS = st.lists(
    st.builds(RowGroup, rows=st.integers(0, 50), bytes=st.integers(0, 1_000)), max_size=12
)
RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=10)


@given(GROUPS, st.integers(1, 30), st.integers(100, 2_000))
def test_cut_covers_every_row_once_within_the_limits(
    groups: list[RowGroup], max_rows: int, max_bytes: int
) -> None:
    ranges = unit_ranges(groups, max_rows, max_bytes)
    bounds = [0, *(stop for _, stop in ranges)]
    assert ranges == list(pairwise(bounds))
    assert bounds[-1] == sum(group.rows for group in groups)
    assert all(0 < stop - start <= max_rows for start, stop in ranges)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], []),
        ([(0, 0)], []),
        ([(3, 10), (3, 10), (3, 10), (3, 10)], [(0, 9), (9, 12)]),  # small ones are joined
        ([(10, 10)], [(0, 10)]),
        ([(21, 10)], [(0, 7), (7, 14), (14, 21)]),  # a large one is cut evenly
        ([(2, 10), (21, 10), (2, 10)], [(0, 2), (2, 9), (9, 16), (16, 23), (23, 25)]),
        ([(8, 250)], [(0, 2), (2, 5), (5, 8)]),  # by bytes
        ([(4, 60), (4, 60)], [(0, 4), (4, 8)]),
        ([(1, 10_000)], [(0, 1)]),  # one row is the least
        ([(0, 0), (5, 10), (0, 0), (5, 10), (0, 0)], [(0, 10)]),
    ],
)
def test_cut(groups: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert unit_ranges([RowGroup(*group) for group in groups], 10, 100) == expected


def rows_of(ranges: list[tuple[int, int]]) -> list[int]:
    return [row for start, stop in ranges for row in range(start, stop)]


@given(st.lists(st.integers(1, 20), max_size=8), RANGES)
def test_subtract_is_the_difference_of_rows(sizes: list[int], done: list[tuple[int, int]]) -> None:
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    planned = list(pairwise(bounds))
    done = [(min(pair), max(pair)) for pair in done]
    left = subtract(planned, done)
    assert rows_of(left) == sorted(set(rows_of(planned)) - set(rows_of(done)))
    assert all(any(a <= start < stop <= b for a, b in planned) for start, stop in left)


@given(st.integers(0, 10**6), st.integers(1, 3_000), st.integers(1, 20))
def test_split_is_whole_and_even(start: int, rows: int, pieces: int) -> None:
    unit = Unit("s", "k", start, start + rows)
    parts = unit.split(pieces)
    assert len(parts) == min(pieces, rows)
    assert [parts[0].start, *(part.stop for part in parts)] == [
        start,
        *(part.start for part in parts[1:]),
        unit.stop,
    ]
    sizes = [part.rows for part in parts]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 999_999_000), st.integers(1, 999))
def test_a_parts_name_states_its_rows(start: int, rows: int) -> None:
    key = Unit("a/b.parquet", "f" * 64, start, start + rows).part_key("0" * 64, 3)
    assert Part.of(key) == Part(start, start + rows, 3, key)


@pytest.mark.parametrize(
    "key",
    [
        ".000000000-000000008.parquet.0123456789ab.tmp",
        "000000000-000000008.parquet.crc",
        "x000000000-000000008.parquet",
        "00-08.parquet",
        "",
    ],
)
def test_what_is_no_part(key: str) -> None:
    assert Part.of(f"parts/judge=0/1/{key}") is None


def test_object_names_of_judge_path_and_shard_version() -> None:
    unit = Unit("s.parquet", "ab" * 8 + "ef" * 24, 8, 16)
    judge, path, version = "cd" * 8, "ab" * 8, "ef" * 16
    assert versions_prefix("cd" * 32, unit.shard_key) == f"parts/judge={judge}/{path}"
    assert unit.part_key("cd" * 32) == (
        f"parts/judge={judge}/{path}/{version}/000000008-000000016.1.parquet"
    )
    assert unit.attempts_prefix("cd" * 32) == (
        f"attempts/judge={judge}/{path}/{version}/000000008-000000016"
    )


def key_of(start: int, stop: int, revision: int) -> str:
    return Unit("s", "f" * 64, start, stop).part_key("0" * 64, revision)


def test_of_a_range_the_highest_revision_counts() -> None:
    keys = [key_of(0, 8, 0), key_of(0, 8, 10), key_of(0, 8, 9), key_of(8, 16, 1)]
    chosen = ShardParts.of(keys)
    assert [part.key for part in chosen.parts] == [key_of(0, 8, 10), key_of(8, 16, 1)]
    assert [part.key for part in chosen.revised] == [key_of(0, 8, 0), key_of(0, 8, 9)]
    assert chosen.doubled == ()


def test_of_parts_that_overlap_the_first_and_longest_counts() -> None:
    keys = [key_of(0, 4, 3), key_of(0, 8, 1), key_of(4, 12, 1), key_of(8, 12, 1)]
    chosen = ShardParts.of([*keys, "parts/notes.txt"])
    assert [part.key for part in chosen.parts] == [key_of(0, 8, 1), key_of(8, 12, 1)]
    assert [part.key for part in chosen.doubled] == [key_of(0, 4, 3), key_of(4, 12, 1)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(0, 3)), max_size=12),
    st.randoms(),
)
def test_the_choice_is_apart_whole_and_stays_when_gaps_are_filled(
    found: list[tuple[int, int, int]], order: Random
) -> None:
    keys = {key_of(start, start + rows, revision) for start, rows, revision in found}
    chosen = ShardParts.of(keys)
    assert all(one.stop <= two.start for one, two in pairwise(chosen.parts))
    listed = [part.key for part in (*chosen.parts, *chosen.doubled, *chosen.revised)]
    assert sorted(listed) == sorted(keys)
    gaps = [key_of(start, stop, 1) for start, stop in subtract([(0, 50)], chosen.ranges)]
    every = [*keys, *gaps]
    order.shuffle(every)
    filled = ShardParts.of(every)
    assert set(chosen.parts) <= set(filled.parts)
    assert subtract([(0, 50)], filled.ranges) == []
