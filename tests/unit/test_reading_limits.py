"""How long reading may take: each batch of rows so long, and what then becomes of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.export.joined_rows import kept_pairs
from pipeline.export.labeled_shards import LabeledShard
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.isolated_reading import file_tables, narrow_rows
from pipeline.pairs.pair_mapping import PairMapping
from pipeline.runtime.disposable import ProcessDiedError, TimeLimitError
from pipeline.runtime.errors import InputError
from pipeline.store.host import Host
from pipeline.store.object_store import Entry, Store
from tests.shards import pair, write_shard

_GROUPS, _ROWS = 3, 4


class Watched:
    """In place of processes: runs functions here, and fails where it is said so.

    Attributes:
        limits: of what was called, and of each item that was streamed.
        failures: raised by the next streams, each before the item of this number.
    """

    def __init__(self) -> None:
        self.limits: list[tuple[str, float]] = []
        self.failures: list[tuple[int, Exception]] = []

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
        self.limits.append(("call", seconds))
        return function(*arguments)

    def stream(
        self, function: Callable[..., Iterator[Any]], *arguments: Any, seconds: float
    ) -> Iterator[Any]:
        for number, item in enumerate(function(*arguments)):
            if self.failures and self.failures[0][0] == number:
                raise self.failures.pop(0)[1]
            self.limits.append(("item", seconds))
            yield item


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    processes = Watched()
    monkeypatch.setattr(Host, "disposables", lambda host, module: processes)
    return processes


@pytest.fixture
def shard(tmp_path: Path) -> tuple[Store, Entry]:
    """Some row groups of a few rows."""
    rows = [pair(number, images=None) for number in range(_GROUPS * _ROWS)]
    write_shard(tmp_path / "s.parquet", rows, _ROWS)
    store = Store(str(tmp_path))
    (entry,) = store.list()
    return store, entry


def sources_of(shard: tuple[Store, Entry]) -> tuple[int, int, int]:
    """Read with 7 seconds for each batch: the first row, and how many batches and rows."""
    start, tables = narrow_rows(*shard, PairMapping().narrowed(["source"]), 7)
    return start, len(tables), sum(table.num_rows for table in tables)


def test_columns_of_a_whole_shard_have_the_limit_for_each_batch(
    watched: Watched, shard: tuple[Store, Entry]
) -> None:
    assert sources_of(shard) == (0, _GROUPS, _GROUPS * _ROWS)
    assert watched.limits == [("item", 7)] * _GROUPS


def test_what_dies_once_is_read_on_from_where_it_was(
    watched: Watched, shard: tuple[Store, Entry]
) -> None:
    watched.failures = [(1, ProcessDiedError("killed"))]
    assert sources_of(shard) == (0, _GROUPS, _GROUPS * _ROWS)
    watched.failures = [(1, ProcessDiedError("killed"))]
    assert [len(table) for table in file_tables(*shard, 7)] == [_ROWS] * _GROUPS


def test_rows_of_a_file_that_are_decoded_singly_come_as_one_table(
    watched: Watched, shard: tuple[Store, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.pairs.isolated_reading.rows_at_a_time", lambda info: 1)
    assert [len(table) for table in file_tables(*shard, 7)] == [_ROWS] * _GROUPS
    assert watched.limits == [("item", 7)] * _GROUPS


def test_an_exported_pair_that_is_late_is_named_with_the_setting(
    watched: Watched, shard: tuple[Store, Entry]
) -> None:
    store, entry = shard
    labeled = LabeledShard(0, entry, "", _GROUPS * _ROWS, _GROUPS * _ROWS, ())
    kept = np.arange(_GROUPS * _ROWS) % _ROWS != 0
    pairs = kept_pairs(store, labeled, PairMapping(), kept, 7)
    assert [len(table) for table in pairs] == [_ROWS - 1] * _GROUPS
    assert {seconds for _, seconds in watched.limits} == {7}
    # As a whole, and then row by row.
    late = TimeLimitError("not done within 7 s")
    watched.failures = [(0, late), (2, late)]
    kept[:_ROWS] = False
    kept[2] = True
    with pytest.raises(InputError) as refused:
        list(kept_pairs(store, labeled, PairMapping(), kept, 7))
    assert str(refused.value) == (
        f"{store.shown(entry.key)}, row 2: the pair that was labelled cannot be read: corrupt data "
        "page: it takes too long to read: not done within 7 s (input.read_seconds); give the input "
        "section that the pairs were labelled with (input.map), or let reading take longer "
        "(input.read_seconds)"
    )


@pytest.mark.parametrize("seconds", [0, 86_401, float("inf"), float("nan")])
def test_a_limit_that_no_timer_takes_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="read_seconds"):
        InputConfig(read_seconds=seconds)
