"""A judge beside the one before it is handed each unit once, and none before its rows are there."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.labeling.opened_units import OpenedUnits
from pipeline.labeling.read_pairs import ShardTask
from pipeline.parts.units import Unit, subtract

Range = tuple[int, int]
SHARDS = ("a", "b", "c")


def task(shard: str, ranges: Sequence[Range], corpus: int = 0) -> ShardTask:
    units = tuple(Unit(shard, f"key of {shard}", *each) for each in ranges)
    return ShardTask(shard, 1_000, units, corpus)


@st.composite
def some_ranges(draw: st.DrawFn) -> list[Range]:
    """Ascending ranges of rows below 40, without overlap."""
    bounds = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=9)))
    ranges = list(itertools.pairwise(bounds))
    kept = draw(st.lists(st.booleans(), min_size=len(ranges), max_size=len(ranges)))
    return [each for each, keep in zip(ranges, kept, strict=True) if keep] or ranges


def taken(opened: OpenedUnits, most: int) -> list[Unit]:
    return [unit for each in opened.take(most) for unit in each.units]


@given(st.data())
def test_every_unit_comes_once_and_not_before_its_rows(data: st.DataObject) -> None:
    own = {shard: data.draw(some_ranges()) for shard in SHARDS}
    before = {shard: data.draw(some_ranges()) for shard in SHARDS[:2]}
    opened = OpenedUnits(
        [task(shard, ranges) for shard, ranges in own.items()],
        [task(shard, ranges) for shard, ranges in before.items()],
    )
    units = [unit for each in opened.tasks for unit in each.units]
    pieces = [
        piece
        for shard, ranges in before.items()
        for unit in task(shard, ranges).units
        for piece in unit.split(data.draw(st.integers(1, 3)))
    ]
    there: dict[str, list[Range]] = {shard: [] for shard in SHARDS}

    def ready(unit: Unit) -> bool:
        awaited = before.get(unit.shard, [])
        left = subtract(awaited, there[unit.shard])
        return subtract([(unit.start, unit.stop)], left) == [(unit.start, unit.stop)]

    handed: list[Unit] = []
    order = data.draw(st.permutations(pieces))
    for piece in [None, *order]:
        if piece is not None:
            opened.committed(piece)
            there[piece.shard].append((piece.start, piece.stop))
        while len(handed) < sum(map(ready, units)):
            some = taken(opened, data.draw(st.integers(1, 4)))
            assert some
            assert all(map(ready, some))
            handed += some
    assert sorted(handed) == sorted(units)
    assert opened.take(1) == []


def test_tasks_of_a_shard_are_joined_and_canaries_wait_for_nobody() -> None:
    canaries = task("gold", [(0, 2)], corpus=1)
    opened = OpenedUnits([task("a", [(0, 4), (4, 8), (8, 12)]), canaries], [task("a", [(0, 12)])])
    assert opened.take(9) == [canaries]
    for rows in ((8, 12), (0, 4), (4, 6), (6, 8)):
        opened.committed(Unit("a", "key of a", *rows))
    assert opened.take(2) == [task("a", [(0, 4), (4, 8)])]
    assert opened.take(2) == [task("a", [(8, 12)])]
    assert opened.take(1) == []


def test_rows_that_are_committed_twice_are_a_bug() -> None:
    opened = OpenedUnits([task("a", [(0, 4)])], [task("a", [(0, 4)])])
    opened.committed(Unit("a", "key of a", 0, 4))
    with pytest.raises(AssertionError, match="rows 0 to 4 again"):
        opened.committed(Unit("a", "key of a", 0, 4))


def test_who_waits_is_woken_by_a_commit_and_by_the_end() -> None:
    opened = OpenedUnits([task("a", [(0, 4), (4, 8)])], [task("a", [(0, 8)])])
    found: list[Unit] = []

    def take_all() -> None:
        while units := taken(opened, 2):
            found.extend(units)

    waiting = threading.Thread(target=take_all)
    waiting.start()
    opened.committed(Unit("a", "key of a", 0, 4))
    while not found:
        threading.Event().wait(0.01)
    opened.close()
    waiting.join()
    assert [unit.name for unit in found] == [Unit("a", "", 0, 4).name]
    assert opened.take(8) == []
